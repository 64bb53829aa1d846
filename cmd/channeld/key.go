package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// personKey is the key of the environment or of its file, which is made if there is none.
type personKey struct {
	value []byte
	file  string // made by this start; empty: it was there
}

const personKeyBytes = 32

func (c *config) loadPersonKey() (personKey, error) {
	if c.personKey != "" {
		value, err := decodeKey(c.personKey)
		if err != nil {
			return personKey{}, fmt.Errorf("channeld: PERSON_KEY: %w", err)
		}
		return personKey{value: value}, nil
	}
	text, err := os.ReadFile(c.keyFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return newPersonKey(c.keyFile)
	case err != nil:
		return personKey{}, fmt.Errorf("channeld: the person key: %w", err)
	}
	value, err := decodeKey(strings.TrimSpace(string(text)))
	if err != nil {
		return personKey{}, fmt.Errorf("channeld: the person key in %s: %w", c.keyFile, err)
	}
	return personKey{value: value}, nil
}

func decodeKey(text string) ([]byte, error) {
	value, err := hex.DecodeString(text)
	if err != nil || len(value) != personKeyBytes {
		return nil, errors.New("64 hexadecimal digits are needed")
	}
	return value, nil
}

// newPersonKey writes the file before anything uses the key, and over no other.
func newPersonKey(file string) (personKey, error) {
	value := make([]byte, personKeyBytes)
	_, _ = rand.Read(value) // cannot fail
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return personKey{}, fmt.Errorf("channeld: the person key: %w", err)
	}
	_, err = f.WriteString(hex.EncodeToString(value) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return personKey{}, fmt.Errorf("channeld: the person key: %w", err)
	}
	return personKey{value, file}, nil
}

// discard removes a file that this start has made, since the database has another key.
func (k *personKey) discard() {
	if k.file != "" {
		_ = os.Remove(k.file) // it is of no use
	}
}
