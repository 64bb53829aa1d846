package events

import (
	"net/url"
	"slices"
	"strings"
)

// query is what a callback URL says. An empty value is none.
type query struct {
	signature    string // over timestamp and nonce
	msgSignature string // over Encrypt too
	timestamp    string
	nonce        string
	echostr      string
	encryptType  string
}

// param returns nil for a parameter that does not matter here, such as openid,
// which is not signed.
func (q *query) param(name string) *string {
	switch name {
	case "signature":
		return &q.signature
	case "msg_signature":
		return &q.msgSignature
	case "timestamp":
		return &q.timestamp
	case "nonce":
		return &q.nonce
	case "echostr":
		return &q.echostr
	case "encrypt_type":
		return &q.encryptType
	}
	return nil
}

// parseQuery reads a raw query by the rules of url.ParseQuery, without its map.
func parseQuery(raw string) (q query, err error) {
	seen := make([]*string, 0, 6)
	escapes := strings.ContainsAny(raw, "%+")
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		if escapes {
			if name, err = url.QueryUnescape(name); err == nil {
				value, err = url.QueryUnescape(value)
			}
			if err != nil {
				return q, errorf(ErrMalformed, "the query has a broken %% escape")
			}
		}

		p := q.param(name)
		if p == nil {
			continue
		}
		if slices.Contains(seen, p) {
			return q, repeated(name)
		}
		*p, seen = value, append(seen, p)
	}
	return q, nil
}

func queryOf(values url.Values) (q query, err error) {
	for name, given := range values {
		p := q.param(name)
		if p == nil || len(given) == 0 {
			continue
		}
		if len(given) > 1 {
			return q, repeated(name)
		}
		*p = given[0]
	}
	return q, nil
}

// repeated refuses a second value: two readers of one request must not take
// different ones.
func repeated(name string) error {
	return errorf(ErrMalformed, "the query has more than one %s", name)
}
