package wechatqrtest

import (
	"errors"
	"net/http"
)

// Reason is why WeChat does not accept a callback's response.
type Reason string

// WeChat delivers a push again after each of these down to ReasonWrongStatus.
const (
	ReasonUnreachable   Reason = "unreachable"   // no connection to the host and port
	ReasonTLS           Reason = "tls"           // no TLS, or a certificate that is not accepted
	ReasonNoResponse    Reason = "no response"   // connected, and closed before an HTTP response
	ReasonIncomplete    Reason = "incomplete"    // the connection broke within the response
	ReasonTooSlow       Reason = "too slow"      // no complete response within the timeout
	ReasonRedirected    Reason = "redirected"    // status 3xx, which WeChat does not follow
	ReasonWrongStatus   Reason = "wrong status"  // a status other than 200
	ReasonQuoted        Reason = "quoted"        // the right text in quotes
	ReasonWrongEcho     Reason = "wrong echo"    // a text other than echostr
	ReasonNotXML        Reason = "not xml"       // neither XML nor success
	ReasonWrongReply    Reason = "wrong reply"   // XML that is not a reply
	ReasonNotEncrypted  Reason = "not encrypted" // plain text in safe mode
	ReasonUndecryptable Reason = "undecryptable" // the reply's signature or encryption is wrong

	// Of DiagnoseCallback only; WeChat does not notice these.
	ReasonForged   Reason = "forged"   // a request with a wrong signature was accepted
	ReasonReplayed Reason = "replayed" // a push with an old timestamp was accepted
)

// CallbackError says why WeChat does not accept a callback's response.
type CallbackError struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
	Status int    `json:"status,omitempty"` // of HTTP; 0: no response, or the error is that of ParseReply

	// What to do about it, in English and in Chinese.
	Advice   string `json:"advice,omitempty"`
	AdviceZH string `json:"advice_zh,omitempty"`
}

func (e *CallbackError) Error() string {
	text := "wechatqrtest: callback: " + string(e.Reason) + ": " + e.Detail
	if e.Advice != "" {
		text += ". " + e.Advice
	}
	return text
}

// withStatus sets the status, and the advice that the reason and the status allow.
func (e *CallbackError) withStatus(status int) *CallbackError {
	e.Status = status
	e.advise(adviceOn(e.Reason, status))
	return e
}

type advice struct{ en, zh string }

func (e *CallbackError) advise(a advice) { e.Advice, e.AdviceZH = a.en, a.zh }

// ErrNoCallback means that the callback has no URL.
var ErrNoCallback = errors.New("wechatqrtest: there is no callback URL: use ServeCallback or " +
	"SetCallback")

// adviceOn is what to do about a response of which nothing else is known.
func adviceOn(reason Reason, status int) advice {
	switch reason {
	case ReasonUnreachable:
		return advice{
			"Is the backend running, and does it listen on this host and port? Inside a container, " +
				"localhost is the container itself.",
			"业务服务器启动了吗？监听的主机和端口对吗？在容器里，localhost 指的是容器自己。",
		}
	case ReasonTLS:
		return advice{
			"WeChat accepts certificates of public authorities only, with their intermediate " +
				"certificates. Check http or https, the port, and the host name in the certificate.",
			"微信只接受公共证书机构签发的证书，并须带上中间证书。请检查 http/https、端口，以及证书里的域名。",
		}
	case ReasonNoResponse:
		return advice{
			"The backend closed the connection without a response: it panicked, crashed or was " +
				"restarted. See its log.",
			"业务服务器没有响应就关闭了连接：可能是 panic、崩溃或重启。请看业务服务器日志。",
		}
	case ReasonIncomplete:
		return advice{
			"The backend broke off within its response: see its log, and that of a proxy in front of it.",
			"业务服务器在响应中途断开：请看业务服务器及其前面代理的日志。",
		}
	case ReasonTooSlow:
		return advice{
			"Respond with “success” at once and do the work afterwards; the reply can follow as a " +
				"customer service message. A debugger needs a longer timeout.",
			"请立即返回 success，再异步处理，随后用客服消息回复用户。断点调试时需要更长的超时时间。",
		}
	case ReasonRedirected:
		return advice{
			"Set the final URL: check http or https, the slash at the end, and whether a login page is " +
				"in front of it.",
			"请填写最终地址：检查 http/https、末尾的斜杠，以及是否被登录页拦截。",
		}
	case ReasonWrongStatus:
		return adviceOnStatus(status)
	case ReasonQuoted:
		return advice{
			"Write it as plain text. A JSON encoder adds the quotes.",
			"请以纯文本输出，引号通常是 JSON 序列化加上的。",
		}
	case ReasonWrongEcho:
		return advice{
			"Respond to GET with the echostr of the query and nothing else: no page around it, no line " +
				"break, no byte order mark.",
			"GET 请求须原样返回 echostr，不能有其他内容：没有页面包裹、没有换行、没有 BOM。",
		}
	case ReasonNotXML:
		return advice{
			"Respond with a reply's XML, with “success”, or with an empty body.",
			"请返回回复消息的 XML、success，或空内容。",
		}
	case ReasonWrongReply:
		return advice{
			"Compare its elements with WeChat's page on passive replies.",
			"请对照微信文档“被动回复用户消息”检查各字段。",
		}
	case ReasonNotEncrypted:
		return advice{
			"Encrypt the reply like the push, or choose another mode.",
			"请像推送一样加密回复，或更换加解密方式。",
		}
	case ReasonUndecryptable:
		return advice{
			"Encrypt the reply with the key and the AppID of the push. Its signature is of Token, " +
				"TimeStamp, Nonce and Encrypt.",
			"请用推送的 EncodingAESKey 和 AppID 加密回复；签名由 Token、TimeStamp、Nonce 和 Encrypt 计算。",
		}
	case ReasonForged:
		return advice{
			"Check the signature of GET and POST before anything else, and respond with the status 401 " +
				"or 403. A backend that ignores such a push in silence looks the same as one that " +
				"accepts it.",
			"GET 和 POST 都应先校验签名，不正确时返回 401 或 403。默默忽略这类推送的业务服务器，从外面看和接受它的一样。",
		}
	case ReasonReplayed:
		return advice{
			"Refuse a timestamp that is more than five minutes old: whoever has seen one push can send " +
				"it again and again.",
			"请拒绝超过五分钟的时间戳：否则任何见过一次推送的人都可以反复重放它。",
		}
	}
	return advice{}
}

// adviceOnStatus is the advice for a status other than 200. Package events and
// other backends use these.
func adviceOnStatus(status int) advice {
	switch status {
	case http.StatusBadRequest:
		return advice{
			"The backend cannot read the request: compare Token, EncodingAESKey, AppID and the mode.",
			"业务服务器无法解析请求：请核对 Token、EncodingAESKey、AppID 和消息加解密方式。",
		}
	case http.StatusUnauthorized, http.StatusForbidden:
		return advice{
			"The signature was refused: compare Token, then EncodingAESKey, AppID and the mode.",
			"签名校验未通过：请先核对 Token，再核对 EncodingAESKey、AppID 和消息加解密方式。",
		}
	case http.StatusNotFound:
		return advice{
			"The backend does not serve this path: compare it letter by letter, and check the slash at " +
				"the end.",
			"业务服务器没有这个路径：请逐字核对，并检查末尾的斜杠。",
		}
	case http.StatusMethodNotAllowed:
		return advice{
			"The path does not accept this method: WeChat checks the URL with GET and pushes to it with " +
				"POST.",
			"这个路径不接受该请求方法：微信用 GET 验证、用 POST 推送，地址相同。",
		}
	case http.StatusRequestEntityTooLarge:
		return advice{
			"The body is too large for the backend, or for a proxy in front of it: allow 64 KiB.",
			"请求体超过了业务服务器或其前面的代理的上限：请允许 64 KiB。",
		}
	case http.StatusInternalServerError:
		return advice{
			"The backend failed: see its log.",
			"业务服务器出错：请看业务服务器日志。",
		}
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return advice{
			"A proxy in front of the backend gets no response from it: is it running, and does the " +
				"proxy know its port?",
			"业务服务器前面的代理得不到响应：业务服务器启动了吗？代理配置的端口对吗？",
		}
	case http.StatusServiceUnavailable:
		return advice{
			"The backend is overloaded or shutting down: see its log for what its requests wait for.",
			"业务服务器过载或正在退出：请看业务服务器日志，查明请求在等待什么。",
		}
	}
	return advice{
		"See the backend's log for why it does not respond with 200.",
		"请看业务服务器日志，查明为何没有返回 200。",
	}
}
