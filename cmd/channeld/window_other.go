//go:build !windows

package main

import (
	"os/exec"
	"syscall"
)

// keepWindow does nothing: the terminal outlives the process.
func keepWindow() {}

// detach keeps the command from ending by the terminal's Ctrl-C: a browser that was not
// running becomes one of this process.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
