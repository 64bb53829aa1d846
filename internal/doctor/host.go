package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

const (
	hostTimeout = 5 * time.Second
	maxSkew     = time.Minute // pushes are refused from five minutes on
)

// hostCheck asks a host for anything: the name, the connection and the certificate
// are what counts.
func hostCheck(base string) check {
	run := func(ctx context.Context, s *session) Finding {
		ctx, cancel := context.WithTimeout(ctx, hostTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, base+"/", nil)
		if err != nil {
			return wrong(text("no URL: %v", "不是 URL：%v", err), Text{"correct -api", "请修正 -api"})
		}
		transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return hostFault(err)
		}
		_ = resp.Body.Close() // a response to HEAD has none
		s.readClock(resp)
		if req.URL.Scheme == "https" {
			return good("the name resolves, TLS is good", "域名解析与 TLS 正常")
		}
		return good("it responds, without TLS", "可以访问（无 TLS）")
	}
	return check{name: base, title: Text{base, base}, run: run}
}

func hostFault(err error) Finding {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var (
		dns       *net.DNSError
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		plainHTTP tls.RecordHeaderError
	)
	what := text("%v", "%v", err)
	switch {
	case errors.As(err, &dns):
		return wrong(text("DNS: %v", "DNS 解析失败：%v", err),
			Text{"check this machine's DNS servers and its way to the internet", "请检查本机的 DNS 与外网访问"})
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		now := time.Now().Format(time.DateTime)
		return wrong(text("TLS: %v", "TLS：%v", err),
			text("this machine's clock says %s: set it if wrong; else a proxy's certificate is old",
				"本机时钟为 %s：若不准请对时，否则是中间代理的证书已过期", now))
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid):
		return wrong(text("TLS: %v", "TLS：%v", err),
			Text{"a proxy on the way answers in WeChat's place, or the package ca-certificates is missing",
				"中间代理拦截了 TLS，或系统缺少 ca-certificates 根证书"})
	case errors.As(err, &plainHTTP):
		return wrong(text("TLS: %v", "TLS：%v", err),
			Text{"what answers there does not speak TLS: correct the address", "对方不是 TLS 服务：请检查地址"})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return wrong(text("no response within %v", "%v 内没有响应", hostTimeout),
			Text{"look for a firewall, or set HTTPS_PROXY", "请检查防火墙，或设置 HTTPS_PROXY"})
	}
	return wrong(what, Text{"look for a firewall or a proxy on the way", "请检查防火墙与中间代理"})
}

// readClock compares this machine's clock with the Date of a response, which has
// whole seconds.
func (s *session) readClock(resp *http.Response) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err == nil && !s.dated {
		s.ahead, s.dated = time.Since(date).Truncate(time.Second), true
	}
}

func checkClock(_ context.Context, s *session) Finding {
	advice := Text{"switch on NTP: tokens and pushes depend on the time", "请开启 NTP 对时：token 与推送都依赖时间"}
	switch {
	case !s.dated:
		return notChecked("because no response had a Date", "因为响应中没有 Date")
	case s.ahead > maxSkew:
		return wrong(text("%v ahead of WeChat's", "比微信快 %v", s.ahead), advice)
	case s.ahead < -maxSkew:
		return wrong(text("%v behind WeChat's", "比微信慢 %v", -s.ahead), advice)
	}
	return good("agrees with WeChat's within a minute", "与微信相差不到一分钟")
}
