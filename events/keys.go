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
	"errors"
	"fmt"
	"io"
	"slices"
)

// Keys are what the console calls 令牌(Token) and 消息加解密密钥(EncodingAESKey).
type Keys struct {
	Token          string // 3 to 32 letters and digits
	EncodingAESKey string // 43 letters and digits; empty in plaintext mode
}

const redacted = "events.Keys([redacted])"

// Format prints no secret, whatever the verb.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is what slog, JSON, YAML and XML show: no secret.
func (k Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary refuses, so that gob stores no secret and none is missed later.
func (k Keys) MarshalBinary() ([]byte, error) { return nil, errNotEncoded }

var errNotEncoded = errors.New("wechatqr: events: keys are not encoded: " +
	"store Token and EncodingAESKey by themselves")

// keyPair is Keys made ready, for any goroutine.
type keyPair struct {
	token string
	block cipher.Block // nil in plaintext mode
	iv    [aes.BlockSize]byte
}

func newKeyPair(k Keys, plaintext bool) (*keyPair, error) {
	p := &keyPair{token: k.Token}
	err := checkKey("Token", k.Token, 3, 32)
	switch {
	case err != nil:
		return nil, err
	case plaintext && k.EncodingAESKey != "":
		return nil, errors.New("both EncodingAESKey and Plaintext are set: " +
			"remove EncodingAESKey if the console says plaintext mode (明文模式), else Plaintext")
	case plaintext:
		return p, nil
	case k.EncodingAESKey == "":
		return nil, errors.New("EncodingAESKey is empty: copy it from the console; " +
			"or set Plaintext if the console says plaintext mode (明文模式), " +
			"the only one of a test account (测试号)")
	}
	if err := checkKey("EncodingAESKey", k.EncodingAESKey, 43, 43); err != nil {
		return nil, err
	}

	// Any 43 letters and digits are 32 bytes. Not strict: WeChat's random keys
	// have stray bits at the end.
	key, _ := base64.StdEncoding.DecodeString(k.EncodingAESKey + "=")
	copy(p.iv[:], key)
	p.block, err = aes.NewCipher(key)
	return p, err
}

func checkKey(field, value string, least, most int) error {
	switch {
	case value == "":
		return fmt.Errorf("%s is empty: copy it from the console", field)
	case !alphanumeric(value):
		return fmt.Errorf("%s has a character that is neither letter nor digit: "+
			"copy it from the console, without spaces or line breaks", field)
	case len(value) < least || len(value) > most:
		return fmt.Errorf("%s has %d characters, and WeChat's have %d to %d: "+
			"copy it whole from the console", field, len(value), least, most)
	}
	return nil
}

// alphanumeric reports whether s has ASCII letters and digits alone.
func alphanumeric(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// signature is the SHA-1 of the token and the parts, sorted and joined, in hex.
func (p *keyPair) signature(timestamp, nonce string, message []byte) [2 * sha1.Size]byte {
	parts := [...]string{timestamp, nonce, p.token}
	slices.Sort(parts[:])
	b := make([]byte, 0, 1024) // enough for most: no allocation
	for _, s := range parts {
		if string(message) < s {
			b = append(b, message...)
			message = nil
		}
		b = append(b, s...)
	}
	sum := sha1.Sum(append(b, message...))
	var inHex [2 * sha1.Size]byte
	hex.Encode(inHex[:], sum[:])
	return inHex
}

// signed reports whether given is the right signature.
func (p *keyPair) signed(q *query, given string, message []byte) bool {
	want := p.signature(q.timestamp, q.nonce, message)
	return subtle.ConstantTimeCompare(want[:], []byte(given)) == 1
}

const (
	maxPadding = 32     // of the PKCS#7 kind; twice the cipher's block
	header     = 16 + 4 // random bytes, length of the message
)

// open decrypts what seal makes. The plaintext is
//
//	random(16) | length(4, big endian) | message | AppID | padding(1…32)
//
// Padding, length and AppID are checked together and in the same time whichever
// is wrong: a caller that learns that the padding alone is right can encrypt
// messages without the key.
func (p *keyPair) open(sealed []byte, appID string) ([]byte, error) {
	b := make([]byte, base64.StdEncoding.DecodedLen(len(sealed)))
	n, err := base64.StdEncoding.Decode(b, sealed)
	switch {
	case err != nil:
		return nil, errorf(ErrDecrypt, "Encrypt is not base64")
	case n%aes.BlockSize != 0 || n <= header+len(appID):
		return nil, errorf(ErrDecrypt, "Encrypt holds %d bytes, which is no possible length", n)
	}
	b = b[:n]
	p.decrypt(b)

	pad, padded := unpad(b)
	content := b[header : n-pad]
	length := int64(binary.BigEndian.Uint32(b[header-4:]))
	rest := int64(len(content)) - length // left for the AppID
	tail := b[:n-pad]
	tail = tail[max(0, len(tail)-len(appID)):]
	sameAppID := subtle.ConstantTimeCompare(tail, []byte(appID))
	if padded&sameAppID == 1 && rest == int64(len(appID)) {
		return content[:length:length], nil
	}

	switch {
	case padded == 0:
		return nil, errorf(ErrDecrypt, "its padding is wrong, as it is with another EncodingAESKey")
	case rest < 0:
		return nil, errorf(ErrDecrypt, "its length field is wrong, as it is with another EncodingAESKey")
	case rest <= 32 && bytes.HasPrefix(content[length:], []byte("wx")) &&
		alphanumeric(string(content[length:])):
		return nil, errorf(ErrWrongAccount, "it was encrypted for AppID %s", content[length:])
	}
	// Bytes that are no AppID are not formatted: that takes time which wrong padding does not.
	return nil, errorf(ErrWrongAccount, "it was encrypted for another AppID")
}

// decrypt undoes CBC, but for the first block, which is random and is not read.
// It goes from the end, where the block before is still as it came. BenchmarkDecrypt
// shows what that saves: cipher.NewCBCDecrypter copies the key for each message, and a
// call of subtle.XORBytes takes longer than two words.
func (p *keyPair) decrypt(b []byte) {
	for i := len(b) - aes.BlockSize; i > 0; i -= aes.BlockSize {
		block, before := b[i:i+aes.BlockSize], b[i-aes.BlockSize:i]
		p.block.Decrypt(block, block)
		x := binary.LittleEndian.Uint64(block) ^ binary.LittleEndian.Uint64(before)
		y := binary.LittleEndian.Uint64(block[8:]) ^ binary.LittleEndian.Uint64(before[8:])
		binary.LittleEndian.PutUint64(block, x)
		binary.LittleEndian.PutUint64(block[8:], y)
	}
}

// unpad returns the length of the padding of two blocks or more, and 1 if it
// is right; a wrong one counts as 1 byte long. It looks at the same bytes in
// the same order whatever they are.
func unpad(b []byte) (pad, ok int) {
	last := b[len(b)-1]
	pad = int(last)
	longest := min(maxPadding, len(b)-header)
	var wrong byte
	for i, c := range b[len(b)-longest:] {
		mask := byte(int32(longest-pad-i-1) >> 31) // all ones, or 0 before the padding
		wrong |= (c ^ last) & mask
	}
	ok = subtle.ConstantTimeByteEq(wrong, 0) &
		subtle.ConstantTimeLessOrEq(1, pad) & subtle.ConstantTimeLessOrEq(pad, longest)
	return subtle.ConstantTimeSelect(ok, pad, 1), ok
}

// seal encrypts a message for open, in base64.
func (p *keyPair) seal(random [16]byte, message []byte, appID string) []byte {
	n := header + len(message) + len(appID)
	pad := maxPadding - n%maxPadding
	b := make([]byte, 0, n+pad)
	b = append(b, random[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = append(append(b, message...), appID...)
	b = append(b, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(p.block, p.iv[:]).CryptBlocks(b, b)
	return base64.StdEncoding.AppendEncode(nil, b)
}
