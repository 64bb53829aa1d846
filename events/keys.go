package events

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// Keys are what the console calls 令牌(Token) and 消息加解密密钥(EncodingAESKey).
type Keys struct {
	Token          string // 3 to 32 letters and digits
	EncodingAESKey string // 43 letters and digits; empty in plaintext mode
}

// Format prints no secret, whatever the verb.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "events.Keys("+redacted+")") }

// LogValue is what slog shows: no secret.
func (k Keys) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes [redacted] for the secrets.
func (k Keys) MarshalJSON() ([]byte, error) {
	type plain Keys
	return json.Marshal(plain(k.redacted()))
}

func (k Keys) redacted() Keys {
	for _, s := range [...]*string{&k.Token, &k.EncodingAESKey} {
		if *s != "" {
			*s = redacted
		}
	}
	return k
}

// pair is Keys made ready.
type pair struct {
	token string
	block cipher.Block // nil without an EncodingAESKey
	iv    [aes.BlockSize]byte

	// decrypters are cipher.BlockModes in whatever state the message before has
	// left them. In CBC that garbles the first block alone, and the first block
	// is 16 random bytes that nobody reads.
	decrypters sync.Pool
}

func newPair(k Keys) (*pair, error) {
	switch {
	case k.Token == "":
		return nil, errors.New("Token is empty: copy it from the console / Token 为空，请从后台复制")
	case strings.ContainsFunc(k.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("Token has a space, a line break or a character that is no ASCII: copy it from the console / Token 含空格、换行或非 ASCII 字符，请从后台复制")
	}
	p := &pair{token: k.Token}
	if k.EncodingAESKey == "" {
		return p, nil
	}
	if len(k.EncodingAESKey) != 43 {
		return nil, fmt.Errorf("EncodingAESKey has %d characters, WeChat's have 43: copy it whole from the console, without = or line breaks / EncodingAESKey 应为 43 个字符，请从后台完整复制", len(k.EncodingAESKey))
	}
	// Not strict: WeChat's random keys have stray bits at the end.
	key, err := base64.StdEncoding.DecodeString(k.EncodingAESKey + "=")
	if err != nil || len(key) != 32 {
		return nil, errors.New("EncodingAESKey has a character that is neither letter nor digit: copy it from the console / EncodingAESKey 含有非字母数字的字符，请从后台复制")
	}
	copy(p.iv[:], key)
	p.block, err = aes.NewCipher(key)
	p.decrypters.New = func() any { return cipher.NewCBCDecrypter(p.block, p.iv[:]) }
	return p, err
}

// signature is the SHA-1 of the token and the parts, sorted and joined, in hex.
func (p *pair) signature(timestamp, nonce string, message []byte) [2 * sha1.Size]byte {
	small := [3]string{p.token, timestamp, nonce}
	if small[1] < small[0] {
		small[0], small[1] = small[1], small[0]
	}
	if small[2] < small[1] {
		small[1], small[2] = small[2], small[1]
	}
	if small[1] < small[0] {
		small[0], small[1] = small[1], small[0]
	}
	var room [1024]byte // enough for most: no allocation
	b := room[:0]
	for _, s := range small {
		if message != nil && string(message) < s {
			b = append(b, message...)
			message = nil
		}
		b = append(b, s...)
	}
	b = append(b, message...)
	sum := sha1.Sum(b)
	var digits [2 * sha1.Size]byte
	hex.Encode(digits[:], sum[:])
	return digits
}

// signed reports whether signature is the right one.
func (p *pair) signed(signature, timestamp, nonce string, message []byte) bool {
	want := p.signature(timestamp, nonce, message)
	return subtle.ConstantTimeCompare(want[:], []byte(signature)) == 1
}

const (
	padding = 32     // of the PKCS#7 kind; twice the cipher's block
	header  = 16 + 4 // random bytes, length of the message
)

// open decrypts what seal makes. The plaintext is
//
//	random(16) | length(4, big endian) | message | AppID | padding(1…32)
func (p *pair) open(sealed []byte, appID string) ([]byte, error) {
	if p.block == nil {
		return nil, refuse(ErrDecrypt, "these keys have no EncodingAESKey")
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(sealed)))
	n, err := base64.StdEncoding.Decode(b, sealed)
	switch {
	case err != nil:
		return nil, refuse(ErrDecrypt, "Encrypt is not base64")
	case n%aes.BlockSize != 0 || n < 2*aes.BlockSize:
		return nil, refuse(ErrDecrypt, "Encrypt holds %d bytes, which is no possible length", n)
	}
	b = b[:n]
	cbc := p.decrypters.Get().(cipher.BlockMode)
	cbc.CryptBlocks(b, b)
	p.decrypters.Put(cbc)
	pad := int(b[n-1])
	if pad < 1 || pad > padding || pad > n-header {
		return nil, refuse(ErrDecrypt, "its padding is wrong, as it is with another EncodingAESKey")
	}
	for _, c := range b[n-pad:] {
		if int(c) != pad {
			return nil, refuse(ErrDecrypt, "its padding is wrong, as it is with another EncodingAESKey")
		}
	}
	b = b[header-4 : n-pad]
	length := binary.BigEndian.Uint32(b)
	b = b[4:]
	if uint64(length) > uint64(len(b)) {
		return nil, refuse(ErrDecrypt, "its length field is wrong, as it is with another EncodingAESKey")
	}
	message, owner := b[:length:length], b[length:]
	if string(owner) != appID {
		return nil, refuse(ErrWrongAccount, "it was sealed for AppID %.64q", owner)
	}
	return message, nil
}

// seal encrypts a message for open, in base64.
func (p *pair) seal(random [16]byte, message []byte, appID string) []byte {
	n := header + len(message) + len(appID)
	pad := padding - n%padding
	b := make([]byte, 0, n+pad)
	b = append(b, random[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = append(append(b, message...), appID...)
	b = append(b, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(p.block, p.iv[:]).CryptBlocks(b, b)
	return base64.StdEncoding.AppendEncode(nil, b)
}
