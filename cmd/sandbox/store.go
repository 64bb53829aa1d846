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

// store keeps the state in a file. One goroutine at a time may use it.
type store struct {
	path string
	wx   *wechatqrtest.Server
	log  *log.Logger
	last []byte // as the file has it
}

// load restores what the file holds; a file that is not there yet is fine.
func (s *store) load() error {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sandbox: -state: %w", err)
	}
	if err := s.wx.Restore(data); err != nil {
		return fmt.Errorf("sandbox: -state %s: %w; move the file away to begin anew", s.path, err)
	}
	return nil
}

// keep saves after every change until ctx ends.
func (s *store) keep(ctx context.Context, pause time.Duration) {
	for {
		changed := s.wx.Changed()
		if err := s.save(); err != nil {
			s.log.Print(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		select { // several changes are saved together
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// save writes the whole file or leaves the old one as it is.
func (s *store) save() error {
	data, err := s.wx.Snapshot()
	if err != nil {
		return fmt.Errorf("sandbox: -state: %w", err)
	}
	if bytes.Equal(data, s.last) {
		return nil // calls and faults are not kept
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*.tmp") // readable by its owner alone
	if err != nil {
		return fmt.Errorf("sandbox: -state: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("sandbox: -state: %w", err), os.Remove(f.Name()))
	}
	s.last = data
	return nil
}
