package wechatqr

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// newTransport is net/http's default with room for many callers.
func newTransport() http.RoundTripper {
	def, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // somebody's mock
	}
	t := def.Clone()
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &strictConn{Conn: conn}, nil
	}
	if t.DialTLSContext == nil {
		t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return handshake(ctx, conn, address, t)
		}
	}
	t.MaxIdleConns = 256
	t.MaxIdleConnsPerHost = 128
	t.MaxResponseHeaderBytes = 64 << 10
	if t.HTTP2 == nil { // or a dead connection would be used until TCP gives it up
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second}
	}
	return t
}

// handshake makes a TLS connection as t would, whose first request has put the
// protocols into its TLSClientConfig.
func handshake(ctx context.Context, conn net.Conn, address string, t *http.Transport) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	cfg := t.TLSClientConfig.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(address)
	}

	over := tls.Client(conn, cfg)
	if err := over.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	if over.ConnectionState().NegotiatedProtocol == "h2" {
		return over, nil // net/http looks for this type
	}
	return &strictConn{Conn: over}, nil
}
