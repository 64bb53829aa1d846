package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// stateFile saves the state of wx, unless its path is empty. Only one goroutine at
// a time may use it: run until saveChanges has begun, and again when it has returned.
type stateFile struct {
	path  string
	lock  *os.File // until close
	wx    *wechatqrtest.Server
	log   *log.Logger
	saved []byte // content of the file
}

// openState locks the file against other processes.
func openState(path string, logger *log.Logger) (*stateFile, error) {
	f := &stateFile{path: path, log: logger}
	if path == "" {
		return f, nil
	}
	lock, held, err := lockFile(path + ".lock")
	switch {
	case held:
		return nil, fmt.Errorf("sandbox: -state %s: another sandbox uses this file: stop it, or choose "+
			"another file", path)
	case err != nil:
		return nil, fmt.Errorf("sandbox: -state: %w", err)
	}
	f.lock = lock
	return f, nil
}

// close lets other processes use the file.
func (f *stateFile) close() {
	if f.lock != nil {
		_ = f.lock.Close() // nothing was written
	}
}

// load restores the state from the file, if the file exists.
func (f *stateFile) load() error {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sandbox: -state: %w", err)
	}
	if err := f.wx.Restore(data); err != nil {
		return fmt.Errorf("sandbox: -state %s: %w; move the file away to start with an empty state",
			f.path, err)
	}
	return nil
}

// saveChanges saves after every change until ctx ends, at most once per interval.
func (f *stateFile) saveChanges(ctx context.Context, interval time.Duration) {
	if f.path == "" {
		return
	}
	for {
		changed := f.wx.Changed()
		if err := f.save(); err != nil {
			f.log.Print(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		select { // changes until then are saved together
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
	}
}

// save replaces the file atomically.
func (f *stateFile) save() error {
	if f.path == "" {
		return nil
	}
	data, err := f.wx.Snapshot()
	if err != nil {
		return fmt.Errorf("sandbox: -state: %w", err)
	}
	if bytes.Equal(data, f.saved) {
		return nil // the change was of requests or faults, which are not saved
	}

	// CreateTemp makes it readable by its owner only.
	temp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("sandbox: -state: %w", err)
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("sandbox: -state: %w", err), os.Remove(temp.Name()))
	}

	f.saved = data
	return nil
}
