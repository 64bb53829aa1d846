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

	time int64 // the timestamp, once it is checked
}

// paramNames has the names of a query's values. Other parameters do not matter
// here, such as openid, which is not signed.
var paramNames = [...]string{
	"signature", "msg_signature", "timestamp", "nonce", "echostr", "encrypt_type",
}

// values are in the order of paramNames.
func (q *query) values() [len(paramNames)]*string {
	return [...]*string{
		&q.signature, &q.msgSignature, &q.timestamp, &q.nonce, &q.echostr, &q.encryptType,
	}
}

// parseQuery reads a raw query by the rules of url.ParseQuery, without its map.
func parseQuery(raw string) (q query, err error) {
	values := q.values()
	var given [len(paramNames)]bool
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

		i := slices.Index(paramNames[:], name)
		switch {
		case i < 0:
		case given[i]:
			return q, repeated(name)
		default:
			*values[i], given[i] = value, true
		}
	}
	return q, nil
}

func queryOf(values url.Values) (q query, err error) {
	for i, value := range q.values() {
		switch given := values[paramNames[i]]; len(given) {
		case 0:
		case 1:
			*value = given[0]
		default:
			return q, repeated(paramNames[i])
		}
	}
	return q, nil
}

// repeated refuses a second value: two readers of one request must not take
// different ones.
func repeated(name string) error {
	return errorf(ErrMalformed, "the query has more than one %s", name)
}
