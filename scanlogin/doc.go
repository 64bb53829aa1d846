// Package scanlogin logs people in, or binds their WeChat to an account of yours,
// by a QR code that they scan (扫码登录).
//
//	login, err := scanlogin.New(client, "https://example.com/login")
//	login.Register(&mux) // an events.Mux: scans of the prefix "login-", and unsubscribes
//	http.Handle("/login", login.Handler(begin)) // begin starts a session of your own
//
// [Login.Handler] is a whole page and, for a front end of your own, the same as JSON
// and as server-sent events. [Login.Bind] is for somebody who is logged in already.
// [Login.Begin], [Login.Status], [Login.Wait], [Login.Confirm] and [Login.Cancel] are
// the steps beneath, for whoever has a server of another kind.
//
// # How it is safe
//
// Whoever sees a code can scan it and show it to others, so neither the code nor the
// scan opens anything. The browser has a secret of 128 random bits in a cookie; the
// scene, which is also the key in the [Store], is a hash of it. The first scan wins. The
// chat shows a number that the page asks for: it goes from the phone to the browser,
// so it takes both. Five wrong ones end the login, it ends five minutes after its
// code was shown, or after the scan, by this server's clock, and it is used once.
// [WithLink] and [WithOneTap] confirm in other ways; read there what they cost.
//
// The number does not protect those who type it into a false page that shows a code
// of the true one, or who tell it to somebody: the chat says where to type it, and
// more it cannot do.
//
// # States
//
// Each state has a page, and a text in the chat for somebody who scans then:
//
//	State      the page                                 the chat
//	none       asks for a code, by script at once       -
//	waiting    shows the code                           the number, or the link
//	scanned    asks for the number, or waits for the    the same again, to the same person;
//	           link to be opened                        another is told that it is used
//	used       as scanned, and says that two people     the same
//	           have scanned the code
//	confirmed  goes on by itself: by OneTap or link     that it is confirmed
//	done       says so                                  that the code was used
//	expired    offers another code                      that the code has expired
//	refused    says that it was ended: by five wrong    that it was refused
//	           numbers, by the person who scanned, by
//	           Cancel, or by an unsubscribe
//	too_many   says to try later: see WithLimits        - (there is no code)
//
// waiting, scanned, used and confirmed end in expired after five minutes.
package scanlogin
