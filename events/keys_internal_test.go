package events

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The vectors are published ones: WeChat's push and encryption pages, its
// Python demo, and a test of another library.
func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, c, want string }{
		{"AAAAA", "1714036504", "1514711492", "f464b24fc39322e44b38aa78f5edd27bd1441696"},
		{"AAAAA", "1714037059", "486452656", "899cf89e464efb63f54ddac96b0a0a235f53aa78"},
		{"AAAAA", "1714112445", "415670741", "6c5c811b55cc85e0e1b54100749188c20beb3f5d"},
		{"spamtest", "1409735669", "1320562132", "16120ec1b8dbb870f510d87ce6bc2463eae6ca1a"},
		{"789", "456", "123", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
		{"weixin", "1366032735", "136587223", "c181f86196a54f1813399ddb4c36ae34af043415"},
		{"a", "b", "c", "a9993e364706816aba3e25717850c26c9cd0d89d"},
	} {
		// Their order is no matter.
		for _, p := range [][3]string{{c.a, c.b, c.c}, {c.a, c.c, c.b}, {c.b, c.a, c.c},
			{c.b, c.c, c.a},
			{c.c, c.a, c.b}, {c.c, c.b, c.a}} {
			got := (&keyPair{token: p[0]}).signature(p[1], p[2], nil)
			assert.Equal(t, c.want, string(got[:]), p)
		}
	}
}

// The message is sorted among the others, wherever it belongs.
func TestSignatureSortsTheMessage(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"", "1", "5", "7", "9", "zz", strings.Repeat("8", 5000)} {
		parts := []string{"4", "6", "8"}
		at := 0
		for at < 3 && parts[at] < message {
			at++
		}
		joined := strings.Join(parts[:at], "") + message + strings.Join(parts[at:], "")
		want := sha1.Sum([]byte(joined))
		got := (&keyPair{token: "6"}).signature("8", "4", []byte(message))
		assert.Equal(t, strings.ToLower(hexOf(want[:])), string(got[:]), message)
	}
}

// Of crypto/cipher's plaintext only the first block, which is random, may differ.
func TestDecryptIsCBC(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("Ab3", 15)[:43]
	p, err := newKeyPair(Keys{Token: "token", EncodingAESKey: key}, false)
	require.NoError(t, err)
	for blocks := range 40 {
		sealed := make([]byte, blocks*aes.BlockSize)
		_, _ = rand.Read(sealed)
		want := bytes.Clone(sealed)
		cipher.NewCBCDecrypter(p.block, p.iv[:]).CryptBlocks(want, want)
		p.decrypt(sealed)
		first := min(len(sealed), aes.BlockSize)
		assert.Equal(t, want[first:], sealed[first:], blocks)
	}
}

func hexOf(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteString(strconv.FormatUint(uint64(c)+256, 16)[1:])
	}
	return s.String()
}

func TestSealVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, key, appID, random, message, want string }{
		{
			"WeChat's reply", strings.Repeat("A", 43), "wxba5fad812f8e6fb9", "707722b803182950",
			`{"demo_resp":"good luck"}`,
			"ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==",
		},
		{
			"Chinese", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wxb11529c136998cb6",
			"aaaabbbbccccdddd", "我是中文abcd123",
			"jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := newKeyPair(Keys{Token: "AAAAA", EncodingAESKey: c.key}, false)
			require.NoError(t, err)
			assert.Equal(t, c.want,
				string(p.seal([16]byte([]byte(c.random)), []byte(c.message), c.appID)))
			message, err := p.open([]byte(c.want), c.appID)
			require.NoError(t, err)
			assert.Equal(t, c.message, string(message))
		})
	}
	p, err := newKeyPair(Keys{Token: "AAAAA"}, true)
	require.NoError(t, err)
	sign := p.signature("1713424427", "415670741",
		[]byte(
			"ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ"+
				"=="))
	assert.Equal(t, "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1", string(sign[:]))
}

// Every length of padding.
func TestSealOpens(t *testing.T) {
	t.Parallel()
	p, err := newKeyPair(Keys{Token: "aaa",
		EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"}, false)
	require.NoError(t, err)
	for n := range 100 {
		want := strings.Repeat("x", n)
		sealed := p.seal([16]byte{}, []byte(want), "wx1")
		got, err := p.open(sealed, "wx1")
		require.NoError(t, err, n)
		require.Equal(t, want, string(got))

		_, err = p.open(append(sealed, '!'), "wx1")
		require.ErrorIs(t, err, ErrDecrypt, "what is base64 but for its end")
	}
	for appID, named := range map[string]bool{
		"wx2": true, "wx" + strings.Repeat("0", 30): true,
		"wx" + strings.Repeat("0", 31): false, "xx2": false, "wx-2": false,
	} {
		_, err = p.open(p.seal([16]byte{}, nil, appID), "wx1")
		require.ErrorIs(t, err, ErrWrongAccount, appID)
		require.Equal(t, named, strings.Contains(err.Error(), appID), appID)
	}
	_, err = p.open(p.seal([16]byte{}, nil, "wx1"), "wx1234567890")
	require.ErrorIs(t, err, ErrDecrypt, "one that has no room for the AppID")
}
