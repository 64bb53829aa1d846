package tickets

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr"
)

// File is a [Store] in one JSON file. See [OpenFile].
type File struct {
	*memory
	path string
	lock io.Closer
}

// OpenFile opens the Store in the file at path, or in the one to which a link there
// leads; without a file it is empty, and the first change makes one. Close it when done.
//
// One process has the file open at a time, others get [ErrInUse]: they may try
// again, or share a database instead. The lock is on the file path+".lock", which
// stays, and the system ends it with the process, however that ends (flock; on
// Windows a file that is not shared; elsewhere OpenFile fails with
// [errors.ErrUnsupported]). On a network file system the lock is as good as that.
//
// A change is on disk when the call that made it returns: the whole file is
// written to path+".tmp", synced and renamed. So a file is never half written,
// and a change of a file with n codes costs some 300 n bytes: keep it for a few
// thousand codes. Claims are held in memory, for they end with the process.
//
// A file that does not hold what this package writes is [ErrCorrupt] with what is
// wrong and where; it stays as it is. The rest are errors of the file system. Do
// not change the file while it is open.
func OpenFile(path string) (*File, error) {
	const op = "open file"
	path = behindLinks(path)
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, failed(op, fmt.Errorf("%s: %w", path, err))
	}

	f := &File{memory: newMemory(), path: path, lock: lock}
	f.save = f.write
	if err := f.read(); err != nil {
		_ = lock.Close() // nothing was written
		return nil, failed(op, fmt.Errorf("%s: %w", path, err))
	}
	return f, nil
}

// behindLinks is the file to which path leads, there or not: to rename to a link
// would replace it, and each name of the file would have a lock of its own.
func behindLinks(path string) string {
	for range 40 { // more are an error of the file system
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Dir(path) + string(filepath.Separator) + target
		}
		path = target
	}
	return path
}

// Close lets other processes open the file. A Keeper that still uses the store
// gets [fs.ErrClosed] when it is to create a code.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.lock.Close()
}

// fileVersion is of the form of the file.
const fileVersion = 1

type fileJSON struct {
	Version int          `json:"version"`
	Tickets []recordJSON `json:"tickets"`
}

// recordJSON is a ticket. Without one it is a permanent code that was to be created.
type recordJSON struct {
	Account string           `json:"account"`
	Scene   wechatqr.Scene   `json:"scene"`
	TTL     int64            `json:"ttl_seconds,omitempty"` // absent: permanent
	Ticket  *wechatqr.Ticket `json:"ticket,omitempty"`
}

func (f *File) read() error {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}

	if !utf8.Valid(b) {
		return fmt.Errorf("%w: it is not UTF-8", ErrCorrupt)
	}

	var content fileJSON
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&content); err != nil {
		return fmt.Errorf("%w: near byte %d of %d: %w", ErrCorrupt, dec.InputOffset(), len(b), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: there is more after byte %d", ErrCorrupt, dec.InputOffset())
	}
	if content.Version != fileVersion {
		return fmt.Errorf("%w: its version is %d, not %d", ErrCorrupt, content.Version, fileVersion)
	}

	for i, r := range content.Tickets {
		key := Key{r.Account, r.Scene, time.Duration(r.TTL) * time.Second}
		_, twice := f.entries[key]
		if err := r.check(key, twice); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, i+1, err)
		}
		e := entry{}
		if r.Ticket != nil {
			e.ticket = *r.Ticket
		}
		f.entries[key] = e
		f.count(key, false)
	}
	return nil
}

func (r recordJSON) check(key Key, twice bool) error {
	switch {
	case checkAccount(r.Account) != nil:
		return checkAccount(r.Account)
	case r.TTL < 0 || r.TTL > int64(wechatqr.MaxTTL/time.Second):
		return fmt.Errorf("ttl_seconds is %d", r.TTL)
	case key.Request().Validate() != nil:
		return key.Request().Validate()
	case twice:
		return fmt.Errorf("%s is there twice", key)
	case r.Ticket == nil && !key.Permanent():
		return fmt.Errorf("%s has no ticket", key)
	case r.Ticket != nil:
		return checkTicket(key, *r.Ticket)
	}
	return nil
}

// write replaces the file by the entries as they are.
func (f *File) write() error {
	const op = "write file"
	if f.closed {
		return failed(op, fs.ErrClosed)
	}
	f.sweep(time.Now())
	content := fileJSON{Version: fileVersion, Tickets: make([]recordJSON, 0, len(f.entries))}
	for key, e := range f.entries {
		r := recordJSON{Account: key.Account, Scene: key.Scene, TTL: int64(key.TTL / time.Second)}
		if e.ticket.Value != "" {
			r.Ticket = &e.ticket
		}
		if r.Ticket != nil || key.Permanent() {
			content.Tickets = append(content.Tickets, r)
		}
	}
	slices.SortFunc(content.Tickets, func(a, b recordJSON) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.TTL, b.TTL),
			cmp.Compare(a.Scene.Key(), b.Scene.Key()))
	})

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(content); err != nil {
		return failed(op, err)
	}
	if err := replaceFile(f.path, b.Bytes()); err != nil {
		return failed(op, err)
	}
	return nil
}

// replaceFile has either the old or the new content in the file, whenever the
// machine stops.
func replaceFile(path string, content []byte) error {
	tmp := path + ".tmp" // whoever has the lock is alone with it
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
