package wechatqrtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// This file shares no code with package events, so that each checks the other.

// sign is the SHA-1 of the parts, sorted and joined, in hex.
func sign(parts ...string) string {
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

// aesKey decodes an EncodingAESKey. Published keys have stray bits in their
// last character.
func aesKey(encoding string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(encoding + "=")
	if err != nil || len(key) != 32 {
		return nil, errors.New("EncodingAESKey must be 43 letters and digits")
	}
	return key, nil
}

const paddingBlock = 32 // bytes that the padding fills up to; AES blocks have 16

// encrypt encrypts a message: random(16), length(4), message, AppID, padding(1…32).
func encrypt(key []byte, appID string, plain []byte) string {
	var prefix [16]byte
	_, _ = rand.Read(prefix[:]) // never fails
	return encryptWith(prefix, key, appID, plain)
}

func encryptWith(prefix [16]byte, key []byte, appID string, plain []byte) string {
	b := slices.Clone(prefix[:])
	b = binary.BigEndian.AppendUint32(b, uint32(len(plain)))
	b = append(b, plain...)
	b = append(b, appID...)
	n := paddingBlock - len(b)%paddingBlock
	b = append(b, bytes.Repeat([]byte{byte(n)}, n)...)
	cbc(key, cipher.NewCBCEncrypter).CryptBlocks(b, b)
	return base64.StdEncoding.EncodeToString(b)
}

// decrypt reverses encrypt. It accepts padding to blocks of 16 bytes too.
func decrypt(key []byte, appID, ciphertext string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(ciphertext)
	if err != nil {
		return nil, errors.New("Encrypt is not base64")
	}
	if len(b) < 2*aes.BlockSize || len(b)%aes.BlockSize != 0 {
		return nil, errors.New("Encrypt is not whole blocks of AES")
	}
	cbc(key, cipher.NewCBCDecrypter).CryptBlocks(b, b)
	n := int(b[len(b)-1])
	if n < 1 || n > paddingBlock || n > len(b)-20 ||
		!bytes.Equal(b[len(b)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errors.New("Encrypt has no valid padding once decrypted: " +
			"it was encrypted with another EncodingAESKey, or padded wrongly")
	}
	b = b[:len(b)-n]
	length := int64(binary.BigEndian.Uint32(b[16:20]))
	if rest := b[20:]; length <= int64(len(rest)) {
		plain, id := rest[:length], string(rest[length:])
		if id != appID {
			return nil, errors.New("it was encrypted for the AppID " + id + ", not " + appID)
		}
		return plain, nil
	}
	return nil, errors.New("its length field is larger than the message")
}

func cbc(key []byte, mode func(cipher.Block, []byte) cipher.BlockMode) cipher.BlockMode {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // aesKey made it 32 bytes
	}
	return mode(block, key[:aes.BlockSize])
}
