// Package wechatqrtest is a fake WeChat to test and develop against: the API and
// the picture host that package wechatqr calls, over HTTP, and the sender of the
// pushes that package events receives. It needs no account, no phone and no
// public address. Clients and backends in other languages can use it too, given
// its base URL.
//
//	srv := wechatqrtest.Start(t)
//	client := srv.Client()
//	srv.ServeCallback(backend) // made with srv.CallbackConfig()
//	ticket, err := client.CreateTicket(ctx, wechatqr.Temporary(scene, time.Hour))
//	push, err := srv.Scan(ctx, ticket.Value, "o6_somebody")
//	// push.Reply is the backend's reply, push.UserSees() what the user sees.
//
// A [Server] is one account and keeps its state: tokens, codes, users, quotas. To
// cause failures use [Server.Inject], [Server.RevokeTokens], [Server.SetQuota] and
// [Server.Advance]; to deliver events late, twice or out of order, [Server.ScanEvent]
// and [Server.Push]. To test a handler without a Server, see [NewRequest]; to test
// your own store, [TestTokenStore], [TestDeduper] and [TestTicketStore]; to test
// timeouts without waiting, [WithoutNetwork].
//
// # The API
//
// The Server serves these paths, with the parameters, responses and errcodes that
// WeChat documents; any other path gets errcode 40066:
//
//	GET  /cgi-bin/token                POST /cgi-bin/stable_token
//	POST /cgi-bin/qrcode/create        GET  /cgi-bin/showqrcode
//	GET  /cgi-bin/user/info            POST /cgi-bin/user/info/batchget
//	GET  /cgi-bin/user/get             POST /cgi-bin/message/custom/send
//	POST /cgi-bin/clear_quota          POST /cgi-bin/clear_quota/v2
//	POST /cgi-bin/openapi/quota/get    POST /cgi-bin/openapi/rid/get
//	POST /cgi-bin/callback/check
//	GET  /cgi-bin/tags/get             POST /cgi-bin/tags/create
//	POST /cgi-bin/tags/members/batchtagging and batchuntagging
//	POST /datacube/getusersummary      POST /datacube/getusercumulate
//	GET  /cgi-bin/getcallbackip        GET  /cgi-bin/get_api_domain_ip
//
// # How it differs from WeChat
//
// By default it is stricter than WeChat, so that a test fails where WeChat would
// silently do something else. These get 40053: a scene_id of 0 or out of range, a
// scene_str of more than 64 bytes or with control characters or "]]>" (in a
// temporary code too), a scene in the wrong place, both kinds of scene at once,
// numbers in quotes, and an expire_seconds out of range. A \u escape in scene_str
// gets 40033. [WithLenient] does what WeChat was seen to do: such a scene_id becomes
// 4294967295, or 0 beyond 63 bits and where there is none; long texts are kept; \u
// escapes are reported as they were sent. A lenient Server also accepts numbers in
// quotes, and reduces expire_seconds to 30 days, which is a guess.
//
// Where WeChat's behaviour is not known, the Server does this:
//   - A temporary code without expire_seconds is valid for 60 s.
//   - An expired code has no picture (404) and cannot be scanned. With
//     WithLenient it has and can: WeChat was seen to report scans days later.
//   - Two permanent codes of one scene are two codes, and both count.
//   - A push without a complete response in time is delivered up to three times,
//     signed anew, without a pause (see [WithRetryDelay]); whether WeChat signs
//     anew is not known. A push with a status other than 200, 201 included, is
//     delivered up to four times at once with the same URL and body, as WeChat
//     was seen to do (see [WithSpacedRetries]). A response of status 200 is final,
//     even if it is not a reply. Redirects are not followed.
//   - "success" may have white space around it; an echo may not.
//   - user/info reports the scene of the last follow, not of the scans since.
//
// And the Server is simpler than WeChat:
//   - The URL in a code has WeChat's form, but no phone can open it. Users scan
//     with [Server.Scan]; a user who does not follow always follows then.
//   - errmsg says more than WeChat's where that helps, before the rid.
//   - There is plain HTTP and no IP whitelist, no administrator's confirmation
//     and no frozen account: inject 40164, 89503 or 50007 for those.
//   - Quotas are those of a verified service account for token, stable_token,
//     qrcode/create, user/info, user/get and message/custom/send, with a limit per
//     minute for stable_token alone; the other paths have none.
//   - A token is valid everywhere until it expires.
//   - The media IDs of customer service messages are not checked, and menus have no
//     clicks.
//   - callback/check resolves and pings nothing: the address is 127.0.0.1.
//   - datacube counts the users of [Server.PutUser] too, on the day of FollowedAt, and
//     knows three sources: 1 (searched), 30 (scanned) and 0 (the rest). An unfollow
//     counts under the source of the follow, which is a guess.
//   - Events of one user have CreateTimes at least one second apart, which may be
//     later than the clock: on WeChat two scans within a second can look like one
//     that is delivered twice. In safe and compatible mode a backend refuses events
//     that are 5 minutes ahead.
//   - Pushes are XML. Callbacks may have any port; their address is not resolved
//     beforehand, and a proxy is not used.
//   - [Server.Advance] moves the Server's clock, while the CreateTime and the signed
//     timestamp of pushes follow this machine's clock, so that a backend does not
//     refuse the push as stale.
//   - Pictures have 430 × 430 pixels.
//
// The Server logs nothing and runs no goroutine that [Server.Close] does not wait
// for. It is for tests and development: it holds everything in memory and hands out
// its secrets.
package wechatqrtest
