package events

import (
	"net/url"
	"slices"
	"strings"
)

// param is a query parameter that WeChat signs, or that says what is signed.
// The openid beside them is neither.
type param int

const (
	signature    param = iota // over the URL alone
	msgSignature              // over Encrypt too
	timestamp
	nonce
	echostr
	encryptType
	paramCount
)

var paramNames = [paramCount]string{"signature", "msg_signature", "timestamp", "nonce", "echostr", "encrypt_type"}

// query is what a callback URL says. An empty value is none.
type query [paramCount]string

// scanQuery reads a raw query by the rules of url.ParseQuery, without its map.
func scanQuery(raw string) (q query, err error) {
	var seen [paramCount]bool
	escapes := strings.IndexByte(raw, '%') >= 0 || strings.IndexByte(raw, '+') >= 0
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(part, "=")
		if escapes {
			if key, err = url.QueryUnescape(key); err == nil {
				value, err = url.QueryUnescape(value)
			}
			if err != nil {
				return q, refuse(ErrMalformed, "the query has a broken %% escape")
			}
		}
		p := slices.Index(paramNames[:], key)
		if p < 0 {
			continue
		}
		if seen[p] {
			return q, repeated(p)
		}
		q[p], seen[p] = value, true
	}
	return q, nil
}

func queryOf(values url.Values) (q query, err error) {
	for p, name := range paramNames {
		switch given := values[name]; len(given) {
		case 0:
		case 1:
			q[p] = given[0]
		default:
			return q, repeated(p)
		}
	}
	return q, nil
}

// repeated refuses a second value: two readers of one request must not take
// different ones.
func repeated(p int) error {
	return refuse(ErrMalformed, "the query has more than one %s", paramNames[p])
}
