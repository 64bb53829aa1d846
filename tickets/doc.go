// Package tickets makes each code once and keeps it: permanent codes, of which an
// account has 100000 in all, and temporary ones, which it renews.
//
//	store, err := tickets.OpenFile("tickets.json")
//	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
//	ticket, err := keeper.Ticket(ctx, wechatqr.Permanent(scene))
//	mux.Handle("/code", keeper.Picture(wechatqr.Temporary(scene, time.Hour)))
//
// WeChat lists no codes, and does not say whether a permanent code that is created
// again takes another of the 100000. So a [Keeper] stores which scene it is about
// to ask for, then asks, then stores the ticket. A process that dies in between
// leaves the scene behind, and the next one asks for the same scene again.
//
// Keep a ticket that was created elsewhere by [Store].SaveTicket; the Keeper then
// has no need to create it. Ends are times of the machine's clock: keep it set.
//
// [NewMemory] and [OpenFile] are stores for one process, packages redisstore and
// sqlstore have one for many. wechatqrtest.TestTicketStore checks one of your own.
package tickets
