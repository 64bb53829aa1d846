// Package wechatqrtest is a WeChat to test and develop against: the API and
// the picture host that package wechatqr calls, over HTTP, and the sender of
// the pushes that package events receives. It needs no account, no phone and no
// public address, and clients and backends in other languages can use it as
// they are, given its address.
//
//	srv := wechatqrtest.Start(t)
//	client := srv.Client()
//	srv.ServeCallback(backend) // made with srv.CallbackConfig()
//	ticket, err := client.CreateTicket(ctx, wechatqr.Temporary(scene, time.Hour))
//	push, err := srv.Scan(ctx, ticket.Value, "o6_somebody")
//	// push.Reply is what the backend answered, push.UserSees() what the user sees.
//
// A [Server] has one account and keeps state: tokens, codes, users, quotas. To
// make something go wrong use [Server.Inject], [Server.RevokeTokens],
// [Server.SetQuota] and [Server.Advance], and for what a backend must stand
// [Server.ScanEvent] and [Server.Push]. To test a handler without a Server, see
// [NewRequest]; to test a store of your own, [TestTokenStore] and [TestDeduper];
// to test time itself, [WithoutNetwork].
//
// # The API
//
// These are offered, with the parameters, answers and errcodes that WeChat
// documents; any other path answers errcode 40066:
//
//	GET  /cgi-bin/token                POST /cgi-bin/stable_token
//	POST /cgi-bin/qrcode/create        GET  /cgi-bin/showqrcode
//	GET  /cgi-bin/user/info            POST /cgi-bin/user/info/batchget
//	GET  /cgi-bin/user/get             POST /cgi-bin/message/custom/send
//	POST /cgi-bin/clear_quota          POST /cgi-bin/clear_quota/v2
//	POST /cgi-bin/openapi/quota/get    POST /cgi-bin/openapi/rid/get
//	GET  /cgi-bin/getcallbackip        GET  /cgi-bin/get_api_domain_ip
//
// # How it differs from WeChat
//
// It is stricter than WeChat by default, so that a test finds what production
// would take in silence: a scene number of 0 or too large, a text of more than
// 64 bytes or with control characters or "]]>" on a temporary code too, a scene
// in the wrong place, both kinds of scene at once, numbers in quotes and a life
// out of range answer 40053, and a \u escape in scene_str answers 40033.
// [WithLenient] does what WeChat was seen to do instead: such numbers become
// 4294967295, or 0 beyond 63 bits and where there is none; long texts stay as
// they are; \u escapes are reported as they were sent. A lenient Server
// also takes numbers in quotes, and limits a life to 30 days, which is a guess.
//
// Where WeChat's behaviour is not known, this is what happens:
//   - A temporary code without expire_seconds lives for 60 s.
//   - An expired code has no picture (404) and cannot be scanned. With
//     WithLenient both work on: WeChat was seen to report scans days later.
//   - Two permanent codes of one scene are two codes, and both are counted.
//   - A push without a whole response in time is delivered up to three times,
//     signed anew, without a pause (see [WithRetryDelay]); whether WeChat signs
//     anew is not known. A push with a status other than 200, 201 included, is
//     delivered up to four times at once with the same URL and body, as WeChat
//     was seen to do (see [WithSpacedRetries]). A response of status 200 is final,
//     even if it is no reply. A redirect is not followed.
//   - "success" may have white space around it; an echo may not.
//   - user/info tells of the last follow, and not of the scans since.
//
// And this is simpler than WeChat:
//   - A code's URL leads nowhere: its form is WeChat's, and no phone can open it.
//     People scan with [Server.Scan]; a stranger who scans always follows.
//   - errmsg says more than WeChat's where that helps, before the rid.
//   - There is plain HTTP and no IP whitelist, no administrator's confirmation
//     and no frozen account: inject 40164, 89503 or 50007 for those.
//   - Quotas are those of a verified service account for token, stable_token,
//     qrcode/create, user/info, user/get and message/custom/send, with a limit by
//     the minute on stable_token alone; the others have none.
//   - A token is accepted until it ends, everywhere at once.
//   - Customer service messages are taken for 48 hours after the user's last
//     event or message, in any number, and their media are not looked up.
//   - Events of one user are a second apart at the least, by their CreateTime,
//     which so may be later than the clock: on WeChat two scans of one second can
//     look like one that is delivered twice. In safe and compatible mode a backend
//     refuses those of a user that are 5 minutes ahead.
//   - Pushes are XML. Callbacks may have any port; their address is not resolved
//     beforehand, and a proxy is not used.
//   - [Server.Advance] moves the Server's clock, while CreateTime of pushes and
//     the timestamp that is signed follow this machine's, so that a backend does
//     not take the push for a stale one.
//   - Pictures have 430 × 430 pixels.
//
// The Server writes no log and, beyond what [Server.Close] waits for, runs no
// goroutine. It is for tests and development: it holds everything in memory
// and hands out its secrets.
package wechatqrtest
