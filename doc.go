// Package wechatqr makes WeChat parametric QR codes (带参数二维码): codes that
// carry a scene of your own, so that the account learns who scanned which.
//
//	client, err := wechatqr.New(wechatqr.Credentials{AppID: appID, AppSecret: appSecret})
//	ticket, err := client.CreateTicket(ctx, wechatqr.Temporary(wechatqr.SceneString("shop-7"), 24*time.Hour))
//	code, err := client.FetchQRCode(ctx, ticket.Value) // code.Data is the picture
//
// # Codes
//
// A [Scene] is a number ([SceneID]) or a text ([SceneString]). A [Temporary]
// code lives up to 30 days; a [Permanent] one is never deleted, and an account
// has 100000 of them. [Client.CreateTicket] makes either and returns a
// [Ticket], which survives JSON. Its picture comes from [Client.FetchQRCode],
// or straight to a browser from [Client.QRCodeURL], or is drawn by package
// qrimage from [Ticket.Content].
//
// # Scans
//
// When somebody scans, WeChat pushes an [Event] to the account's callback URL.
// Package events receives, verifies and answers it. [Event.Scan] makes one
// [Scan] of both kinds of push, by new followers and by existing ones.
//
// # Tokens
//
// A [Client] fetches, keeps and renews the access token by itself, from the
// stable endpoint. Several servers share it by [WithTokenStore]; packages
// redisstore and sqlstore have such a store. Tokens from elsewhere, a token server or a
// third-party platform, come by [WithTokenSource]. Cloud hosting needs none:
// [WithCloudHosting]. [Client.Do] calls any other API of WeChat's in the same way.
//
// # Errors
//
// Failures have kinds, such as [ErrInvalidArgument] or [ErrIPNotAllowed], for
// errors.Is. If WeChat responded there is an [*Error] beneath, for errors.As, with
// its code, its rid, and in [Error.Hint] what to do. An error of the network is
// net/http's. AppSecret and tokens are in no error, log line or fmt verb. What
// others wrote is in an error with at most about 512 bytes.
//
// # Tests
//
// Package wechatqrtest is a fake WeChat to run in a test, and cmd/sandbox the
// same as a program with a page. To mock over HTTP use [WithHTTPClient].
package wechatqr
