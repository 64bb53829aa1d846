package events_test

import (
	"context"
	"crypto/sha1"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// extend is the SHA-1 of a text, its padding and suffix, for one who knows the
// SHA-1 of the text and its length, but not the text. It returns the padding too.
func extend(t *testing.T, signature string, length int, suffix string) (extended, padding string) {
	t.Helper()
	padding = "\x80" + strings.Repeat("\x00", (64+55-length%64)%64)
	padding += string(binary.BigEndian.AppendUint64(nil, uint64(length)*8))

	sum, err := hex.DecodeString(signature)
	require.NoError(t, err)
	state := append([]byte("sha\x01"), sum...) // as crypto/sha1 writes it
	state = append(state, make([]byte, 64)...)
	state = binary.BigEndian.AppendUint64(state, uint64(length+len(padding)))
	h := sha1.New()
	require.NoError(t, h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state))
	h.Write([]byte(suffix))
	return hex.EncodeToString(h.Sum(nil)), padding
}

// everywhere gives a push to all that reads one, and returns what each said.
func everywhere(t *testing.T, cfg events.Config, p push) map[string]error {
	t.Helper()
	v := newVerifier(t, cfg)
	_, opened := v.Open(p.query, []byte(p.body))
	_, parsed := v.ParseRequest(p.request())
	out := map[string]error{"Open": opened, "ParseRequest": parsed}

	var problems []events.Problem
	h := newHandler(t, cfg, nil, &problems)
	note := func(name string, status int) {
		out[name] = nil
		if status != http.StatusOK {
			require.NotEmpty(t, problems)
			out[name] = problems[len(problems)-1].Err
		}
	}
	note("ServeHTTP", p.to(h).Code)
	r := events.Request{Method: http.MethodPost, RawQuery: p.query.Encode(), Body: []byte(p.body)}
	note("Handle", h.Handle(t.Context(), r).Status)
	return out
}

// A Token that sorts before timestamp and nonce is a prefix of what is signed,
// and SHA-1 can be extended without it. The attacker has one old URL.
func TestForgedByExtension(t *testing.T) {
	t.Parallel()
	s := sender{appID: testAppID, token: "0a1b2c3d", key: testKey}
	const oldNonce, oldTime = "1320562132", "1600000000" // sorted
	now := strconv.FormatInt(time.Now().Unix(), 10)

	t.Run("plaintext", func(t *testing.T) {
		t.Parallel()
		old := s.signed(oldTime, oldNonce, "").query.Get("signature")
		forged, padding := extend(t, old, len(s.token+oldNonce+oldTime), now)
		nonce := oldNonce + oldTime + padding
		require.Equal(t, sign(s.token, now, nonce), forged, "what WeChat would sign")

		p := push{url.Values{"signature": {forged}, "timestamp": {now}, "nonce": {nonce}},
			scanPush("forged")}
		cfg := events.Config{Token: s.token, Plaintext: true}
		for where, err := range everywhere(t, cfg, p) {
			require.ErrorIs(t, err, events.ErrMalformed, where)
		}

		p.query.Set("echostr", "1")
		_, err := newVerifier(t, cfg).Echo(p.query)
		require.ErrorIs(t, err, events.ErrMalformed)
	})

	t.Run("an old push replayed in safe mode", func(t *testing.T) {
		t.Parallel()
		sealed := s.seal(t, scanPush("replayed"))
		require.Greater(t, sealed, now, "it sorts last")
		old := sign(s.token, oldTime, oldNonce, sealed) // msg_signature
		length := len(s.token + oldNonce + oldTime + sealed)
		signature, padding := extend(t, old, length, now)
		msgSignature, _ := extend(t, old, length, now+sealed)
		nonce := oldNonce + oldTime + sealed + padding
		require.Equal(t, sign(s.token, now, nonce), signature)
		require.Equal(t, sign(s.token, now, nonce, sealed), msgSignature)

		p := push{url.Values{
			"signature": {signature}, "msg_signature": {msgSignature}, "timestamp": {now},
			"nonce": {nonce},
		}, envelope(sealed)}
		cfg := events.Config{AppID: s.appID, Token: s.token, EncodingAESKey: s.key}
		for where, err := range everywhere(t, cfg, p) {
			require.ErrorIs(t, err, events.ErrMalformed, where)
		}
	})
}

// Timestamp and nonce are signed in sorted order and without a separator: a
// nonce that looks like a time can take its place, and digits can move from one
// to the other. The encrypted CreateTime stays what it was.
func TestReplayWithTimestampAndNonceExchanged(t *testing.T) {
	t.Parallel()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for name, c := range map[string]struct {
		token                        string
		timestamp, nonce             string // when it was made
		forgedTimestamp, forgedNonce string
	}{
		"exchanged":    {testToken, "1600000000", now, now, "1600000000"},
		"moved digits": {"0a1b2c3d", "160000000" + now[:1], now[1:], now, "160000000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sender{appID: testAppID, token: c.token, key: testKey}
			made, err := strconv.ParseInt(c.timestamp, 10, 64)
			require.NoError(t, err)
			sealed := s.seal(t, scanPushAt(made, "replayed"))
			signature := sign(c.token, c.timestamp, c.nonce)
			msgSignature := sign(c.token, c.timestamp, c.nonce, sealed)
			require.Equal(t, signature, sign(c.token, c.forgedTimestamp, c.forgedNonce))
			require.Equal(t, msgSignature, sign(c.token, c.forgedTimestamp, c.forgedNonce, sealed))

			p := push{url.Values{
				"signature": {signature}, "msg_signature": {msgSignature},
				"timestamp": {c.forgedTimestamp}, "nonce": {c.forgedNonce},
			}, envelope(sealed)}
			cfg := events.Config{AppID: testAppID, Token: c.token, EncodingAESKey: testKey}
			for where, err := range everywhere(t, cfg, p) {
				require.ErrorIs(t, err, events.ErrStale, where)
			}
		})
	}
}

// At a server whose clock is slow such a push is fresh for longest. The event is known for
// longer still.
func TestReplayAtASlowClock(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		runs := 0
		h := newHandler(t, safeMode(), func(
			context.Context, *wechatqr.Event,
		) (events.Reply, error) {
			runs++
			return nil, nil
		}, nil)
		made := time.Now().Add(5 * time.Minute).Unix()
		sealed := wechat().seal(t, scanPushAt(made, "replayed"))
		stamp, later := strconv.FormatInt(made, 10), strconv.FormatInt(made+300, 10)
		deliver := func(timestamp, nonce string) int {
			p := wechat().signed(timestamp, nonce, envelope(sealed))
			p.query.Set("msg_signature", sign(testToken, timestamp, nonce, sealed))
			return p.to(h).Code
		}
		require.Equal(t, 200, deliver(stamp, later))
		time.Sleep(15 * time.Minute)
		require.Equal(t, 200, deliver(later, stamp), "it is fresh")
		time.Sleep(time.Second)
		require.Equal(t, 403, deliver(later, stamp), "it is no more")
		assert.Equal(t, 1, runs)
	})
}

// The encrypted CreateTime may be as far from the timestamp as the clock may.
func TestCreateTimeAgreesWithTimestamp(t *testing.T) {
	t.Parallel()
	s := wechat()
	minute := safeMode()
	minute.MaxAge = time.Minute
	for _, c := range []struct {
		cfg events.Config
		max int64
	}{{safeMode(), 300}, {minute, 60}} {
		for off, fits := range map[int64]bool{
			0: true, c.max: true, -c.max: true, c.max + 1: false, -c.max - 1: false, 1 << 32: false,
			-1 << 30: false,
		} {
			p := s.clear("")
			at, err := strconv.ParseInt(p.query.Get("timestamp"), 10, 64)
			require.NoError(t, err)
			sealed := s.seal(t, scanPushAt(at+off, "shop-7"))
			p.body = envelope(sealed)
			p.query.Set("msg_signature", sign(s.token, p.query.Get("timestamp"), testNonce, sealed))
			for where, err := range everywhere(t, c.cfg, p) {
				if fits {
					require.NoError(t, err, "%s: %d", where, off)
				} else {
					require.ErrorIs(t, err, events.ErrStale, "%s: %d", where, off)
					require.ErrorIs(t, err, events.ErrDecrypt, "%s: %d", where, off)
					require.ErrorContains(t, err,
						fmt.Sprintf("CreateTime is %d s from", max(off, -off)))
				}
			}
		}
	}
}

// dump is all that a caller sees of a response.
func dump(w *httptest.ResponseRecorder) string { return fmt.Sprint(w.Code, w.Header(), w.Body) }

// One who has the Token and one push, but not the AES key, appends a block of
// theirs and one to decrypt, and tries all values of one byte of theirs: of 256
// some give right padding. If the response told which, they could decrypt and
// forge any message.
func TestPaddingOracle(t *testing.T) {
	t.Parallel()
	s := wechat()
	captured, err := base64.StdEncoding.DecodeString(s.seal(t, scanPush("shop-7")))
	require.NoError(t, err)
	var problems []events.Problem
	h := newHandler(t, safeMode(), nil, &problems)

	responses := map[string]int{}
	blocks, positions := []int{1, 2, len(captured)/16 - 1}, []int{15, 14, 0}
	for _, block := range blocks {
		for _, position := range positions {
			for value := range 256 {
				b := append(slices.Clip(captured), make([]byte, 16)...)
				b[len(captured)+position] = byte(value)
				b = append(b, captured[16*block:16*block+16]...)
				sealed := base64.StdEncoding.EncodeToString(b)
				responses[dump(s.envelope(envelope(sealed), sealed).to(h))]++
			}
		}
	}
	assert.Len(t, responses, 1, "%v", responses)

	foreign := 0
	for _, p := range problems {
		require.ErrorIs(t, p.Err, events.ErrDecrypt)
		if errors.Is(p.Err, events.ErrWrongAccount) {
			foreign++
		}
	}
	assert.GreaterOrEqual(t, foreign, len(blocks), "those with right padding")
	assert.Len(t, problems, len(blocks)*len(positions)*256)
}

// Right padding costs what wrong padding does, however many bytes are left behind the message:
// if they were formatted, as an AppID is, the time would tell.
func TestPaddingCostsTheSame(t *testing.T) {
	s := wechat()
	var problem error
	h, err := events.NewHandler(safeMode(), replyWith(nil),
		events.WithProblemHandler(func(_ context.Context, p events.Problem) { problem = p.Err }))
	require.NoError(t, err)

	allocs, kinds := map[float64]int{}, map[string]int{}
	for scene := 1; scene < 16; scene += 2 {
		captured, err := base64.StdEncoding.DecodeString(
			s.seal(t, scanPush(strings.Repeat("7", scene))))
		require.NoError(t, err)
		for _, cut := range []int{0, 48, 64} {
			kept := len(captured) - cut
			for value := range 256 {
				b := append(slices.Clip(captured[:kept]), make([]byte, 16)...)
				b[kept+15] = byte(value)
				b = append(b, captured[16:32]...)
				sealed := base64.StdEncoding.EncodeToString(b)
				p := s.envelope(envelope(sealed), sealed)
				r := events.Request{
					Method: http.MethodPost, RawQuery: p.query.Encode(), Body: []byte(p.body),
				}
				allocs[testing.AllocsPerRun(2, func() { h.Handle(t.Context(), r) })]++
				kinds[problem.Error()]++
			}
		}
	}
	assert.Len(t, allocs, 1, "%v", allocs)
	assert.Len(t, kinds, 3, "padding, length and AppID: %v", kinds)
}

// Whatever is wrong with what was encrypted: the response is the same to the
// byte, and the hook has the details.
func TestWhatFailsInsideLooksAlike(t *testing.T) {
	t.Parallel()
	s := wechat()
	message := scanPush("shop-7")
	of := func(sealed string) push { return s.envelope(envelope(sealed), sealed) }
	with := func(appID, key,
		message string) push {
		return of(sender{appID, s.token, key}.seal(t, message))
	}
	cfg := safeMode()
	cfg.Account = testAccount

	responses := map[string][]string{}
	for name, c := range map[string]struct {
		push push
		err  error
		hint string
	}{
		"another key": {with(s.appID, strings.Repeat("B", 43), message), events.ErrDecrypt,
			"EncodingAESKey"},
		"not base64":  {of("%%%"), events.ErrDecrypt, "EncodingAESKey"},
		"a short one": {of("AAAA"), events.ErrDecrypt, "EncodingAESKey"},
		"a wrong length": {of(s.encrypt(t,
			pkcs7(append(make([]byte, 16), "\xff\xff\xff\xff"+s.appID...)))), events.ErrDecrypt,
			"EncodingAESKey"},
		"a foreign AppID": {with("wx0000000000000000", s.key, message),
			events.ErrWrongAccount, "AppID"},
		"a long AppID": {with(s.appID+"x", s.key, message), events.ErrWrongAccount, "AppID"},
		"no AppID":     {with("", s.key, message), events.ErrWrongAccount, "AppID"},
		"another account": {of(s.seal(t, strings.Replace(message, testAccount, "gh_another", 1))),
			events.ErrWrongAccount, "Account"},
		"an old message": {of(s.seal(t, scanPushAt(1_700_000_000, "shop-7"))),
			events.ErrStale, "clock"},
		"no event": {of(s.seal(t, "hello")), events.ErrMalformed, "does not send this"},
		"nothing":  {of(s.seal(t, "")), events.ErrMalformed, "middleware"},
	} {
		var problems []events.Problem
		response := dump(c.push.to(newHandler(t, cfg, nil, &problems)))
		responses[response] = append(responses[response], name)
		require.Len(t, problems, 1, name)
		require.ErrorIs(t, problems[0].Err, c.err, name)
		require.ErrorIs(t, problems[0].Err, events.ErrDecrypt, name)
		assert.Contains(t, problems[0].Hint, c.hint, name)
		assert.Equal(t, http.StatusBadRequest, problems[0].Status, name)
	}
	assert.Len(t, responses, 1, "%v", responses)
}

// Errors are lines, whatever the request held: encoding/xml quotes names whole.
func TestErrorsAreLines(t *testing.T) {
	t.Parallel()
	s := wechat()
	long := strings.Repeat("a", 60<<10)
	query := func(name string) push {
		p := s.clear(scanPush("shop-7"))
		p.query.Set(name, strings.Repeat("long\n", 12<<10))
		return p
	}
	isLine := func(err error, name string) {
		require.Less(t, len(err.Error()), 600, name)
		for _, c := range err.Error() {
			require.True(t, strconv.IsPrint(c), "%s: %q in %q", name, c, err.Error())
		}
	}
	for name, p := range map[string]push{
		"an element that ends otherwise": s.clear("<xml><" + long + "></b></xml>"),
		"an attribute without a value":   s.clear("<xml><a " + long + "></a></xml>"),
		"an entity":                      s.clear("<xml><a>&" + long + ";</a></xml>"),
		"another root":                   s.clear("<" + long + "/>"),
		"a name with a control":          s.clear("<xml><a></b\u2028\u202e></xml>"),
		"a CreateTime": s.clear(strings.Replace(scanPush("a"), "<CreateTime>",
			"<CreateTime>"+strings.Repeat("9", 60<<10), 1)),
		"JSON":         s.clear(`{"` + long + "\":\x01}"),
		"timestamp":    query("timestamp"),
		"nonce":        query("nonce"),
		"signature":    query("signature"),
		"encrypt_type": query("encrypt_type"),
		"echostr":      query("echostr"),
	} {
		for where, err := range everywhere(t, plainMode(), p) {
			if where == "Open" && err == nil {
				continue // it leaves the body to Parse
			}
			require.Error(t, err, name)
			isLine(err, name)
		}
	}

	// A function's error is cut in the text alone.
	cause := errors.New(strings.Repeat("中\n", 10<<10))
	fail := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, cause }
	var problems []events.Problem
	s.clear(scanPush("shop-7")).to(newHandler(t, plainMode(), fail, &problems))
	require.NotEmpty(t, problems)
	require.ErrorIs(t, problems[0].Err, cause)
	isLine(problems[0].Err, "a function's error")
}
