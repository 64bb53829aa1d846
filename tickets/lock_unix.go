//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tickets

import (
	"errors"
	"io"
	"os"
	"syscall"
)

type fileLock struct{ *os.File }

// Close unlocks first: between fork and exec a child that starts meanwhile has the
// file open too, and closing would leave it locked until then.
func (l fileLock) Close() error {
	return errors.Join(syscall.Flock(int(l.Fd()), syscall.LOCK_UN), l.File.Close())
}

func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}

	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	switch {
	case err == nil:
		return fileLock{f}, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = ErrInUse
	}
	_ = f.Close() // nothing was written
	return nil, err
}

// syncDir makes a rename last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
