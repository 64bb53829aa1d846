// Package channels counts what the codes of an account bring: channel promotion
// analysis (渠道推广分析). A [Channel] is a shop, a poster or an employee.
//
//   - [Open] makes the [Ledger] in a database.
//   - [Ledger.Ensure] and [Ledger.EnsureAll] have WeChat make a channel's code, once;
//     [Ledger.Adopt] takes a code that was made elsewhere. [Ledger.Reassign],
//     [Ledger.Retire] and [Ledger.Merge] change whose a code is.
//   - [Ledger.Record] writes each push to the database before WeChat is answered, and
//     tells the function beneath it what the push was: [VisitFrom].
//   - [Ledger.ImportFollowers] takes over those who follow already,
//     [Ledger.Reconcile] mends what lost pushes left, and [Ledger.Backfill] records an
//     archive of pushes.
//   - [Ledger.Report] tells who scanned, who came, who came back, who left and who is
//     there, also as JSON and by [Report.WriteCSV]; [Ledger.Retention] tells who stayed,
//     and [Ledger.LossAges] how long those followed who left.
//   - [Ledger.Convert] records orders and other acts, [Ledger.Conversions] counts them by
//     the channel that brought them, and [Ledger.Compare] puts WeChat's own figures beside
//     the ledger's.
//   - [Ledger.Plan] and [Ledger.Apply] take channels from a spreadsheet, and
//     [Ledger.CopyTo] copies the ledger into another database.
//   - [Ledger.Forget] and [Ledger.DeleteExpired] delete what tells who a person is.
//
// Pushes may come late, several times and in any order. A person's events are
// ordered by WeChat's time and amount to follows, intervals with a start, perhaps
// an end, and the channel that began them. Every number of followers is a count of
// these intervals, so that the numbers cannot contradict each other:
//
//	held at the end = held at the start + new + returning − lost + imported − forgotten
//
// and all channels, with the three rows for follows that none began, are the
// account. docs/counting.md defines each number, and a report carries the definitions:
// [Report.Definitions].
//
// The tables know a person by a number and by 128 bits of the HMAC-SHA-256 of the
// openid, which is de-identified, not anonymous: who has the key and a list of openids
// can match them. [Ledger.Forget] deletes the hash and changes no count.
//
// The database is the caller's *sql.DB, with modernc.org/sqlite, pgx or
// go-sql-driver/mysql: this package links no driver.
package channels
