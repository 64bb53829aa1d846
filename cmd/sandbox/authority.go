package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// weChatHosts are the hosts that the sandbox answers for by their own names.
var weChatHosts = []string{
	"api.weixin.qq.com", "api2.weixin.qq.com", "sh.api.weixin.qq.com", "sz.api.weixin.qq.com",
	"hk.api.weixin.qq.com", "mp.weixin.qq.com",
}

// authority is a certificate authority of the sandbox's own. Its certificate limits it
// to WeChat's hosts and to those by which the sandbox is reached, so that whoever
// trusts it trusts it for no other host.
type authority struct {
	file string // the certificate as PEM, for clients
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // by host
}

const authorityLifetime = 10 * 365 * 24 * time.Hour

// authorityFiles are beside the state file, or else in the user's cache.
func authorityFiles(state string) (cert, key string, err error) {
	base := strings.TrimSuffix(state, filepath.Ext(state)) + "-ca"
	if state == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", "", fmt.Errorf("sandbox: no place for the certificate authority: %w; use -state", err)
		}
		base = filepath.Join(cache, "wechatqr-sandbox", "ca")
	}
	cert, err = filepath.Abs(base + ".pem")
	return cert, base + ".key", err
}

// loadAuthority reads the authority, and makes it if it is not there yet. host is that
// of the sandbox's origin.
func loadAuthority(certFile, keyFile, host string) (*authority, error) {
	data, err := os.ReadFile(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createAuthority(keyFile, host); err == nil {
			data, err = os.ReadFile(keyFile)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: certificate authority: %w", err)
	}

	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, fmt.Errorf("sandbox: certificate authority: %s: %w; remove the file for a new one",
			keyFile, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("sandbox: certificate authority: %s: the key is not of ECDSA", keyFile)
	}
	a := &authority{file: certFile, cert: pair.Leaf, key: key, leaves: map[string]*tls.Certificate{}}
	if _, err := a.certificate(host); err != nil {
		return nil, fmt.Errorf("sandbox: certificate authority: %w; remove %s for a new one",
			err, keyFile)
	}
	if err := os.WriteFile(certFile, pemOf("CERTIFICATE", a.cert.Raw), 0o644); err != nil {
		return nil, fmt.Errorf("sandbox: certificate authority: %w", err)
	}
	return a, nil
}

// createAuthority writes a key and its certificate to the file, unless another process
// does it first.
func createAuthority(keyFile, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := newTemplate("WeChat sandbox "+randomHex(4), authorityLifetime)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	template.PermittedDNSDomainsCritical = true
	template.PermittedDNSDomains = []string{"weixin.qq.com", "localhost"}
	template.PermittedIPRanges = []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
		hostNetwork(net.IPv6loopback),
	}
	if ip := net.ParseIP(host); ip != nil {
		template.PermittedIPRanges = append(template.PermittedIPRanges, hostNetwork(ip))
	} else {
		template.PermittedDNSDomains = append(template.PermittedDNSDomains, host)
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	data := append(pemOf("PRIVATE KEY", keyDER), pemOf("CERTIFICATE", cert)...)
	return createFile(keyFile, data)
}

func hostNetwork(ip net.IP) *net.IPNet {
	if v4 := ip.To4(); v4 != nil {
		return &net.IPNet{IP: v4, Mask: net.CIDRMask(32, 32)}
	}
	return &net.IPNet{IP: ip, Mask: net.CIDRMask(128, 128)}
}

// createFile writes a new file that its owner alone can read. It is complete, or not
// there; one that exists stays.
func createFile(name string, data []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Link(temp.Name(), name)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(temp.Name()))
}

func newTemplate(name string, life time.Duration) *x509.Certificate {
	var serial [16]byte
	_, _ = rand.Read(serial[:]) // never fails
	serial[0] &= 0x7f           // positive
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-24 * time.Hour), // for clocks that are behind
		NotAfter:     time.Now().Add(life),
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// certificate is that of a host or an IP address. The error says that the authority is
// not for it.
func (a *authority) certificate(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf := a.leaves[host]; leaf != nil {
		return leaf, nil
	}
	leaf, err := a.sign(host)
	if err != nil {
		return nil, err
	}
	a.leaves[host] = leaf
	return leaf, nil
}

const leafLifetime = 365 * 24 * time.Hour // more is not accepted everywhere

func (a *authority) sign(host string) (*tls.Certificate, error) {
	template := newTemplate(host, leafLifetime)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}

	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
		return nil, fmt.Errorf("its certificate is not for %s: %w", host, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// tlsConfig presents a certificate for the name that the client asks for.
func (a *authority) tlsConfig() *tls.Config {
	return &tls.Config{
		NextProtos: []string{"http/1.1"}, // connections are reset in ways that HTTP/2 has not
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			host := strings.ToLower(hello.ServerName)
			if host == "" {
				host = hostOf(hello.Conn.LocalAddr().String())
			}
			return a.certificate(host)
		},
	}
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}
