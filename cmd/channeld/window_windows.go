package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"
)

// keepWindow waits for the Enter key if the window closes with this process, as it does
// after a double-click: the error could not be read.
func keepWindow() {
	count := syscall.NewLazyDLL("kernel32.dll").NewProc("GetConsoleProcessList")
	var processes [2]uint32 // of the window
	n, _, _ := count.Call(uintptr(unsafe.Pointer(&processes[0])), uintptr(len(processes)))
	if n != 1 {
		return
	}
	fmt.Fprint(os.Stderr, "\n按 Enter 键关闭此窗口。Press Enter to close this window. ")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// detach does nothing: the browser is no child of the command.
func detach(*exec.Cmd) {}
