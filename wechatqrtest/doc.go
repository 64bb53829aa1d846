// Package wechatqrtest is a fake WeChat to test and develop against: the API and
// the picture host that package wechatqr calls, over HTTP, and the sender of the
// pushes that package events receives. It needs no account, no phone and no
// public address. Clients and backends in other languages can use it too, given
// its base URL.
//
//	srv := wechatqrtest.Start(t)
//	backend := newBackend(srv.Client())
//	srv.ServeFunc(backend.handle)
//	code, err := srv.CreateCode(wechatqr.Permanent(scene))
//	push, err := srv.Scan(ctx, code.Ticket, "o6_somebody")
//	// push.Reply is the backend's reply, push.UserSees() what the user sees.
//
// A [Server] is one account and keeps its state: tokens, codes, users, quotas. Start
// logs it when the test fails; see [Server.State]. To cause failures of the API use
// [Server.Inject], [Server.RevokeTokens], [Server.SetQuota] and [Server.Advance]; to
// lose or delay pushes, [Server.InjectPush]; to deliver events late, twice or out of
// order, [Server.ScanEvent] and [Server.Push]; to wait for what a backend does in the
// background, [Server.WaitPush] and [Server.WaitMessage]. To test a handler without a
// Server, see [NewRequest]; to test your own store, [TestTokenStore], [TestTicketStore] and [TestDeduper].
//
// With [WithoutNetwork] in a bubble of testing/synctest the backend and the Server have
// one clock: time.Sleep turns both, and nothing waits in real time. [Server.Advance]
// turns the Server's alone.
//
// # The API
//
// The Server serves these paths, with the parameters, responses and errcodes that
// WeChat documents; any other path gets errcode 40066, unless [Server.Handle] serves it:
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
//	POST /cgi-bin/message/template/send
//	POST /cgi-bin/menu/create          GET  /cgi-bin/menu/get and delete
//	POST /cgi-bin/media/upload         GET  /cgi-bin/ticket/getticket
//	GET  /sns/oauth2/access_token      GET  /sns/userinfo
//
// # What was captured from WeChat
//
// Sources: "capture" is a response or push recorded from WeChat, "log" and "thread" are
// what others published in that year, and "page" is WeChat's documentation.
//
//	answer                                                source          same here
//	a token never issued, 43 characters: 40001, a hint    capture, 2026   yes, of any length
//	  at getStableAccessToken, a rid
//	the AppID is checked before the grant type            capture, 2026   yes
//	user/get, all on one page: next_openid is the last    capture         yes
//	  openid; the page after it has no data
//	three messages within a minute after a follow, scan   page            yes
//	  or menu click, five within 48 hours after a text
//	follow after a scan: the scene is kept for four       threads, 2022   yes: ScanAndFollow
//	  minutes and gone after five                           and 2024
//	push answered with 201: four deliveries at once, URL  log, 2021       yes; or else
//	  and body the same, and the user sees a fault                          WithSpacedRetries
//	push without a response within 5 s: three deliveries  page            yes
//	header fields and query of pushes, both signatures    capture         yes
//	  in safe and compatible mode
//	articles beyond one for a message, eight for an       page            stricter: a fault
//	  event are cut
//	revocations name the user in OpenID                   page            yes: Revoke
//	large scene_id becomes 4294967295; \u escapes stay    capture         WithLenient;
//	  undecoded                                                             else refused
//	the layout of tickets                                 capture         yes
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
//   - The URL in a code has WeChat's form, but no phone can open it, unless
//     [WithContentPrefix] leads it to a page of yours. Users scan
//     with [Server.Scan]; a user who does not follow always follows then: on
//     WeChat a scan without a follow pushes nothing.
//   - errmsg says more than WeChat's where that helps, before the rid.
//   - There is plain HTTP and no IP whitelist, no administrator's confirmation
//     and no frozen account: inject 40164, 89503 or 50007 for those.
//   - Quotas are those of a verified service account for token, stable_token,
//     qrcode/create, user/info, user/get and message/custom/send, with a limit per
//     minute for stable_token alone; the other paths have none.
//   - A token is valid everywhere until it expires.
//   - Media IDs are not checked, templates are not either, and whoever grants an OAuth
//     code is a new user without a name.
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
