// Package events receives what WeChat pushes to an account's callback URL: it
// verifies, decrypts, parses, routes and answers.
//
//	var mux events.Mux
//	mux.HandleScenePrefix("shop-", welcome)
//	mux.HandleEvent(wechatqr.EventUnsubscribe, forget)
//	handler, err := events.NewHandler(config, mux.Serve)
//	err = events.Serve(ctx, &http.Server{Addr: ":8080"}, handler)
//
// There are three heights, each built on the one below: [Verifier.Open] turns
// bytes into bytes, [Verifier.ParseRequest] a request into an event, and
// [Handler] serves the whole URL, from the console's first check to the sealed
// reply. [Parse] alone reads a message and verifies nothing.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/guide/dev/push/
package events
