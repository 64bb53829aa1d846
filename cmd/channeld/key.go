package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
)

// personKey is the key of the environment or of its file, which is made if there is none.
type personKey struct {
	value []byte
	file  string // made by this start; empty: it was there
}

const personKeyBytes = 32

// errKeyFile says that the file is not a key.
var errKeyFile = errors.New("64 hexadecimal digits are needed")

func (c *config) loadPersonKey() (personKey, error) {
	if c.personKey != "" {
		value, err := decodeKey(c.personKey)
		if err != nil {
			return personKey{}, fmt.Errorf("channeld: PERSON_KEY: %w", err)
		}
		return personKey{value: value}, nil
	}
	key, err := readPersonKey(c.keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newPersonKey(c.keyFile)
	}
	if errors.Is(err, fs.ErrExist) { // another start was faster
		key, err = readPersonKey(c.keyFile)
	}
	if err != nil {
		return personKey{}, fmt.Errorf("channeld: the person key: %w", err)
	}
	return key, nil
}

func readPersonKey(file string) (personKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return personKey{}, err
	}
	value, err := decodeKey(strings.TrimSpace(string(text)))
	if err != nil {
		return personKey{}, fmt.Errorf("%s: %w", file, err)
	}
	return personKey{value: value}, nil
}

func decodeKey(text string) ([]byte, error) {
	value, err := hex.DecodeString(text)
	if err != nil || len(value) != personKeyBytes {
		return nil, errKeyFile
	}
	return value, nil
}

// newPersonKey makes the file before anything uses the key: whole, or not at all. If there is
// a file by then the error is fs.ErrExist.
func newPersonKey(file string) (personKey, error) {
	value := make([]byte, personKeyBytes)
	_, _ = rand.Read(value) // cannot fail
	text := hex.EncodeToString(value) + "\n"
	temp := file + "." + rand.Text() + ".tmp"
	err := writeNew(temp, text)
	if err == nil {
		err = os.Link(temp, file)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			err = writeNew(file, text) // where there are no links, as on a USB stick
		}
		err = errors.Join(err, os.Remove(temp))
	}
	return personKey{value, file}, err
}

// writeNew writes a file that is not there yet, which only its owner can read.
func writeNew(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// warnOfReaders warns of files with secrets that everybody on this machine can read.
func warnOfReaders(logger *slog.Logger, files ...string) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err == nil && info.Mode().Perm()&0o004 != 0 && runtime.GOOS != "windows" {
			logger.Warn("channeld: everybody on this machine can read the file: use chmod 600",
				"file", file)
		}
	}
}

// discard removes a file that this start has made, since the database has another key.
func (k *personKey) discard() {
	if k.file != "" {
		_ = os.Remove(k.file) // it is of no use
	}
}
