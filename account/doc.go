// Package account asks what else an account can be asked beside its codes: who
// follows it, what WeChat counted, what is left of a quota, why a call failed,
// and whether WeChat reaches the callback.
//
//	User Users Followers        who follows, since when, by which code
//	SendText                        a customer service message
//	Tags Tag Untag              groups of followers
//	DailySummary                    follows and unfollows by day and source
//	Quota ClearQuota              calls left today
//	ExplainCall CheckCallback     what WeChat saw
//
// Lists are sequences that ask for the next page when it is needed, so a break
// ends the calls, and they can be joined:
//
//	for user, err := range account.Users(ctx, client, account.Followers(ctx, client, "")) {
//
// Each function is a page around [wechatqr.Client.Do] and keeps nothing, so that
// one more of WeChat's APIs is written as easily beside it. The results have the
// fields most programs need, and Raw with the whole response. All but [SendText]
// and [ClearQuota] may be carried out twice, and are repeated as a GET is.
//
// Errors are those of [wechatqr.Client.Do].
package account

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/wechatqr/wechatqr"
)

// get reads by GET.
func get(ctx context.Context, c *wechatqr.Client, path string, query url.Values, out any) error {
	return c.Do(ctx, wechatqr.Request{Method: http.MethodGet, Path: path, Query: query}, out)
}

// post is a POST that may be carried out twice.
func post(ctx context.Context, c *wechatqr.Client, path string, body, out any) error {
	req := wechatqr.Request{Method: http.MethodPost, Path: path, Body: body, Idempotent: true}
	return c.Do(ctx, req, out)
}

// having is a response for out, and is refused if it lacks the field: WeChat's success
// always has it, so that without it an empty list is no list of nobody.
type having struct {
	field string
	out   any
}

func (h *having) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	if fields[h.field] == nil {
		return errors.New("the response lacks " + h.field)
	}
	return json.Unmarshal(b, h.out)
}

// withRaw is a response of which T has the fields.
type withRaw[T any] struct {
	fields T
	raw    json.RawMessage
}

func (r *withRaw[T]) UnmarshalJSON(b []byte) error {
	r.raw = append(r.raw[:0], b...)
	return json.Unmarshal(b, &r.fields)
}
