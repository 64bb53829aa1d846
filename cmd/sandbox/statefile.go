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

// stateFile saves the state of wx. Only one goroutine at a time may use it: run
// until saveChanges has returned, then run's caller again.
type stateFile struct {
	path  string
	wx    *wechatqrtest.Server
	log   *log.Logger
	saved []byte // content of the file
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
		return fmt.Errorf("sandbox: -state %s: %w; move the file away to start with an empty state", f.path, err)
	}
	return nil
}

// saveChanges saves after every change until ctx ends, at most once per interval.
func (f *stateFile) saveChanges(ctx context.Context, interval time.Duration) {
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
