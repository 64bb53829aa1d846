// Package e2e drives cmd/sandbox and cmd/channeld as their users do: people by
// a browser, and backends by this library and by clients that are not ours. It
// has tests alone. They need chromium, zbarimg and pdftoppm and, for the Node.js
// clients, node and npm; where the environment variable CI is set a test that
// lacks them fails, elsewhere it is skipped.
//
// With WECHATQR_SCREENSHOTS=dir the pictures of the README are written there.
package e2e
