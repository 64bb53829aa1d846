package wechatqr

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// newTransport is net/http's default with room for many callers.
func newTransport() (transport http.RoundTripper, closeIdle func()) {
	def, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport, func() {} // somebody's mock
	}
	t := def.Clone()
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return strict(dialer.DialContext(ctx, network, address))
	}
	if t.DialTLSContext == nil {
		t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			// Not earlier: the first request puts the protocols into t.TLSClientConfig.
			over := &tls.Dialer{NetDialer: dialer, Config: t.TLSClientConfig}
			return strict(over.DialContext(ctx, network, address))
		}
	}
	t.MaxIdleConns = 256
	t.MaxIdleConnsPerHost = 128
	t.MaxResponseHeaderBytes = 64 << 10
	if t.HTTP2 == nil { // or a dead connection would be used until TCP gives it up
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second}
	}
	return t, t.CloseIdleConnections
}

func strict(conn net.Conn, err error) (net.Conn, error) {
	over, ok := conn.(*tls.Conn)
	if err != nil || ok && over.ConnectionState().NegotiatedProtocol == "h2" { // net/http looks for this type
		return conn, err
	}
	return &strictConn{Conn: conn}, nil
}
