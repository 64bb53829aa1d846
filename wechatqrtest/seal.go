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

// This is written apart from package events, on purpose: each checks the other.

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

const sealBlock = 32 // of the padding; the cipher's block is 16

// seal encrypts a message: random(16), length(4), message, AppID, padding(1…32).
func seal(key []byte, appID string, message []byte) string {
	var prefix [16]byte
	_, _ = rand.Read(prefix[:]) // never fails
	return sealWith(prefix, key, appID, message)
}

func sealWith(prefix [16]byte, key []byte, appID string, message []byte) string {
	b := slices.Clone(prefix[:])
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = append(b, message...)
	b = append(b, appID...)
	n := sealBlock - len(b)%sealBlock
	b = append(b, bytes.Repeat([]byte{byte(n)}, n)...)
	crypter(key, cipher.NewCBCEncrypter).CryptBlocks(b, b)
	return base64.StdEncoding.EncodeToString(b)
}

// unseal decrypts what seal makes, with the padding of any implementation.
func unseal(key []byte, appID, sealed string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, errors.New("Encrypt is not base64")
	}
	if len(b) < 2*aes.BlockSize || len(b)%aes.BlockSize != 0 {
		return nil, errors.New("Encrypt is not whole blocks of AES")
	}
	crypter(key, cipher.NewCBCDecrypter).CryptBlocks(b, b)
	n := int(b[len(b)-1])
	if n < 1 || n > sealBlock || n > len(b)-20 || !bytes.Equal(b[len(b)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errors.New("Encrypt has no valid padding once decrypted: it was sealed with another EncodingAESKey, or padded wrongly")
	}
	b = b[:len(b)-n]
	length := int64(binary.BigEndian.Uint32(b[16:20]))
	if rest := b[20:]; length <= int64(len(rest)) {
		message, id := rest[:length], string(rest[length:])
		if id != appID {
			return nil, errors.New("it was sealed for the AppID " + id + ", not " + appID)
		}
		return message, nil
	}
	return nil, errors.New("its length field is larger than the message")
}

func crypter(key []byte, mode func(cipher.Block, []byte) cipher.BlockMode) cipher.BlockMode {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // aesKey made it 32 bytes
	}
	return mode(block, key[:aes.BlockSize])
}
