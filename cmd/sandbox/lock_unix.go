//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// lockFile opens the file for this process alone until it is closed or the process
// ends. held reports that another process has it.
func lockFile(name string) (file *os.File, held bool, err error) {
	file, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, err
	}
	if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close() // nothing was written
		return nil, errors.Is(err, syscall.EWOULDBLOCK), err
	}
	return file, false, nil
}
