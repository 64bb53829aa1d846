package account_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const (
	followersPath = "/cgi-bin/user/get"
	batchPath     = "/cgi-bin/user/info/batchget"
)

// follow adds n followers and returns their openids.
func follow(srv *wechatqrtest.Server, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = "o6_" + strconv.Itoa(100_000+i)
		srv.PutUser(wechatqrtest.User{OpenID: ids[i], Follows: true})
	}
	return ids
}

// collect is what a sequence gives, and its first error, which must be the last element.
func collect[T any](t *testing.T, seq iter.Seq2[T, error]) (all []T, failure error) {
	t.Helper()
	for v, err := range seq {
		require.NoError(t, failure, "an element after the error")
		if failure = err; err == nil {
			all = append(all, v)
		}
	}
	return all, failure
}

func TestUser(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	at := time.Unix(1_700_000_000, 0)
	tag := srv.AddTag("VIP")
	for _, u := range []wechatqrtest.User{
		{
			OpenID: "text", UnionID: "u1", Follows: true, FollowedAt: at,
			SubscribeScene: "ADD_SCENE_OTHERS", SceneStr: "shop-7", TagIDs: []int{tag},
		},
		{OpenID: "number", Follows: true, SubscribeScene: "ADD_SCENE_QR_CODE",
			SceneID: 4_294_967_295},
		{OpenID: "search", Follows: true, SubscribeScene: "ADD_SCENE_QR_CODE"},
		{OpenID: "gone"},
	} {
		srv.PutUser(u)
	}
	client := srv.Client()

	user, err := account.User(t.Context(), client, "text")
	require.NoError(t, err)
	var raw struct {
		GroupID *int `json:"groupid"`
	}
	require.NoError(t, json.Unmarshal(user.Raw, &raw))
	assert.NotNil(t, raw.GroupID, "Raw has what has no field")
	user.Raw = nil
	assert.Equal(t, account.UserInfo{
		OpenID: "text", UnionID: "u1", Follows: true, FollowedAt: at,
		Scene: "shop-7", Source: "ADD_SCENE_OTHERS", TagIDs: []int{tag},
	}, user)

	for openID, scene := range map[string]string{"number": "4294967295", "search": "", "gone": ""} {
		user, err := account.User(t.Context(), client, openID)
		require.NoError(t, err)
		assert.Equal(t, scene, user.Scene, openID)
		assert.Equal(t, openID != "gone", user.Follows, openID)
		assert.Equal(t, openID == "gone", user.FollowedAt.IsZero(), openID)
	}

	_, err = account.User(t.Context(), client, "stranger")
	require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
	assert.NotContains(t, err.Error(), "stranger", "no openid in an error")
}

// A program that keeps users as JSON reads back what it wrote.
func TestUserInfoSurvivesJSON(t *testing.T) {
	t.Parallel()
	want := account.UserInfo{
		OpenID: "o6", Follows: true, Scene: "shop-7", Raw: json.RawMessage(`{"openid":"o6"}`),
	}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	var got account.UserInfo
	require.NoError(t, json.Unmarshal(text, &got))
	assert.Equal(t, want, got)
}

func TestUserWithoutOpenID(t *testing.T) {
	t.Parallel()
	for _, response := range []string{
		`{}`, `{"subscribe":1}`, `[]`, `{"openid":1}`, `{"openid":"o6","qr_scene":{}}`,
	} {
		_, err := account.User(t.Context(), fixedClient(t, response), "o6")
		assert.ErrorIs(t, err, wechatqr.ErrUnexpectedResponse, response)
	}
}

func TestUsersBatches(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	ids := follow(srv, 201)
	calls := 0
	for _, n := range []int{0, 1, 99, 100, 101, 200, 201} {
		users, err := collect(t,
			account.Users(t.Context(), srv.Client(), account.OpenIDs(ids[:n]...)))
		require.NoError(t, err)
		got := make([]string, 0, n)
		for _, u := range users {
			got = append(got, u.OpenID)
		}
		assert.Equal(t, ids[:n], got)
		calls += (n + 99) / 100
		assert.Equal(t, calls, srv.Count(batchPath), "%d users", n)
	}
}

// Each unknown openid has an error of its own, and the others are there.
func TestUsersUnknown(t *testing.T) {
	t.Parallel()
	for _, unknown := range [][]int{{0}, {99}, {100}, {149}, {3, 4, 120}} {
		srv := wechatqrtest.Start(t)
		ids := follow(srv, 150)
		var refused []string
		for _, i := range unknown {
			ids[i] = fmt.Sprint("stranger-", i)
			refused = append(refused, ids[i])
		}
		var order, bad []string
		for user, err := range account.Users(t.Context(), srv.Client(), account.OpenIDs(ids...)) {
			order = append(order, user.OpenID)
			if err != nil {
				require.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
				bad = append(bad, user.OpenID)
			}
		}
		assert.Equal(t, ids, order)
		assert.Equal(t, refused, bad)
		assert.LessOrEqual(t, srv.Count(batchPath), 2+len(unknown)*14)
	}
}

func TestFollowers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 9_999, 10_000, 10_001} {
		srv := wechatqrtest.Start(t)
		want := follow(srv, n)
		srv.PutUser(wechatqrtest.User{OpenID: "gone"})
		got, err := collect(t, account.Followers(t.Context(), srv.Client(), ""))
		require.NoError(t, err)
		assert.True(t, fmt.Sprint(want) == fmt.Sprint(got), "%d followers, got %d", n, len(got))
		assert.Equal(t, 1+(n+9_999)/10_000, srv.Count(followersPath), "calls for %d followers", n)
		if n > 2 {
			rest, err := collect(t, account.Followers(t.Context(), srv.Client(), want[n-3]))
			require.NoError(t, err)
			assert.Equal(t, want[n-2:], rest, "from where an earlier run ended")
		}
	}
}

// Two pages alone are asked for: the rest of the second is not needed.
func TestBreakStopsTheCalls(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	follow(srv, 10_200)
	n := 0
	client := srv.Client()
	users := account.Users(t.Context(), client, account.Followers(t.Context(), client, ""))
	for user, err := range users {
		require.NoError(t, err)
		require.NotEmpty(t, user.OpenID)
		if n++; n == 150 {
			break
		}
	}
	assert.Equal(t, 1, srv.Count(followersPath))
	assert.Equal(t, 2, srv.Count(batchPath))

	followers := account.Followers(t.Context(), srv.Client(), "")
	for range followers {
		break
	}
	all, err := collect(t, followers)
	require.NoError(t, err)
	assert.Len(t, all, 10_200, "a sequence can be run again")
}

// What came before the failure is delivered, the failure is the last element.
func TestFollowersFail(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	ids := follow(srv, 10_050)
	srv.InjectFunc(func(r *http.Request) (wechatqrtest.Fault, bool) {
		return wechatqrtest.Fault{Code: 45009}, r.URL.Query().Has("next_openid")
	})
	got, err := collect(t, account.Followers(t.Context(), srv.Client(), ""))
	require.ErrorIs(t, err, wechatqr.ErrQuota)
	assert.Len(t, got, 10_000)

	followers := account.Followers(t.Context(), srv.Client(), "")
	users, err := collect(t, account.Users(t.Context(), srv.Client(), followers))
	require.ErrorIs(t, err, wechatqr.ErrQuota, "the source's failure is the users' failure")
	assert.Len(t, users, 10_000)

	source := func(yield func(string, error) bool) {
		_ = yield(ids[0], nil) && yield("", context.DeadlineExceeded)
	}
	users, err = collect(t, account.Users(t.Context(), srv.Client(), source))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Len(t, users, 1, "the beginning of a batch is not lost")
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	ids := follow(srv, 150)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var failure error
	for _, err := range account.Users(ctx, srv.Client(), account.OpenIDs(ids...)) {
		if failure = err; err == nil {
			n++
			cancel()
		}
	}
	require.ErrorIs(t, failure, context.Canceled)
	assert.Equal(t, 100, n)
	_, err := collect(t, account.Followers(ctx, srv.Client(), ""))
	require.ErrorIs(t, err, context.Canceled)
}

// Reads are repeated after a broken connection, by POST too; a message is not.
func TestRepeated(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	ids := follow(srv, 1)
	tag := srv.AddTag("VIP")
	yesterday := srv.Now().AddDate(0, 0, -1)
	srv.ServeCallback(http.NotFoundHandler())
	calls := map[string]func(context.Context, *wechatqr.Client) error{
		"/cgi-bin/user/info": func(ctx context.Context, c *wechatqr.Client) error {
			_, err := account.User(ctx, c, ids[0])
			return err
		},
		batchPath: func(ctx context.Context, c *wechatqr.Client) error {
			_, err := collect(t, account.Users(ctx, c, account.OpenIDs(ids...)))
			return err
		},
		followersPath: func(ctx context.Context, c *wechatqr.Client) error {
			_, err := collect(t, account.Followers(ctx, c, ""))
			return err
		},
		"/cgi-bin/openapi/quota/get": func(ctx context.Context, c *wechatqr.Client) error {
			_, err := account.Quota(ctx, c, followersPath)
			return err
		},
		"/cgi-bin/callback/check": func(ctx context.Context, c *wechatqr.Client) error {
			_, err := account.CheckCallback(ctx, c)
			return err
		},
		"/datacube/getusercumulate": func(ctx context.Context, c *wechatqr.Client) error {
			_, err := collect(t, account.DailySummary(ctx, c, yesterday, yesterday))
			return err
		},
		"/cgi-bin/tags/get": func(ctx context.Context, c *wechatqr.Client) error {
			_, err := account.Tags(ctx, c)
			return err
		},
		"/cgi-bin/tags/members/batchtagging": func(ctx context.Context, c *wechatqr.Client) error {
			return account.Tag(ctx, c, tag, account.OpenIDs(ids...))
		},
		"/cgi-bin/tags/members/batchuntagging": func(ctx context.Context,
			c *wechatqr.Client) error {
			return account.Untag(ctx, c, tag, account.OpenIDs(ids...))
		},
	}
	for path, call := range calls {
		srv.Inject(wechatqrtest.Fault{Path: path, Break: wechatqrtest.BreakReset, Times: 1})
		require.NoError(t, call(t.Context(), srv.Client()), path)
		assert.GreaterOrEqual(t, srv.Count(path), 2, path)
	}

	for path, call := range map[string]func() error{
		"/cgi-bin/message/custom/send": func() error {
			return account.SendText(t.Context(), srv.Client(), ids[0], "hi")
		},
		"/cgi-bin/clear_quota": func() error {
			return account.ClearQuota(t.Context(), srv.Client(), srv.Credentials().AppID)
		},
	} {
		srv.Inject(wechatqrtest.Fault{Path: path, Break: wechatqrtest.BreakReset, Times: 1})
		require.ErrorIs(t, call(), wechatqr.ErrOutcomeUnknown, path)
		assert.Equal(t, 1, srv.Count(path), path)
	}
}

// fixedClient gets one response to everything.
func fixedClient(t *testing.T, response string) *wechatqr.Client {
	t.Helper()
	client, err := wechatqr.New(wechatqr.Credentials{},
		wechatqr.WithTokenSource(wechatqr.StaticTokenSource("t")),
		wechatqr.WithHTTPClient(&http.Client{Transport: respond(response)}))
	require.NoError(t, err)
	return client
}

// respond is a Transport with one response to everything.
type respond string

func (r respond) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	body := io.NopCloser(strings.NewReader(string(r)))
	return &http.Response{StatusCode: http.StatusOK, Body: body, Request: req}, nil
}

// A response without what it is asked for is no success that found nothing: a proxy or a
// page of a hotel's network made it.
func TestResponsesThatLackWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"errcode":0,"errmsg":"ok"}`, `null`} {
		c := fixedClient(t, body)
		ctx := t.Context()
		yesterday := time.Now().AddDate(0, 0, -1)
		_, errUser := account.User(ctx, c, "o6_a")
		_, errCall := account.ExplainCall(ctx, c, "rid")
		_, errCheck := account.CheckCallback(ctx, c)
		for name, err := range map[string]error{
			"User":          errUser,
			"Users":         lastError(account.Users(ctx, c, account.OpenIDs("o6_a"))),
			"Followers":     lastError(account.Followers(ctx, c, "")),
			"ExplainCall":   errCall,
			"CheckCallback": errCheck,
			"DailySummary":  lastError(account.DailySummary(ctx, c, yesterday, yesterday)),
			"Untag":         account.Untag(ctx, c, 1, account.OpenIDs("o6_a")),
		} {
			if name == "Untag" && body != "null" { // which needs nothing
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, wechatqr.ErrUnexpectedResponse, "%s of %s", name, body)
		}
	}
}

func lastError[T any](seq iter.Seq2[T, error]) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}
