package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"

	"github.com/mattn/go-isatty"
)

// openBrowser opens the address for who sits at this machine. It does nothing if stdout
// is no terminal, as that of a service, if other machines reach the pages, or if there
// is no desktop.
func openBrowser(address string, pages net.Addr, stdout io.Writer) {
	terminal, ok := stdout.(*os.File)
	if !ok || !isatty.IsTerminal(terminal.Fd()) || !isLoopback(pages) || !hasDesktop() {
		return
	}
	command := []string{"xdg-open"}
	switch runtime.GOOS {
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler"}
	case "darwin":
		command = []string{"open"}
	}
	cmd := exec.Command(command[0], append(command[1:], address)...)
	detach(cmd)
	if cmd.Start() == nil { // else the address is on the terminal
		go func() { _ = cmd.Wait() }()
	}
}

func hasDesktop() bool {
	switch {
	case os.Getenv("SSH_CONNECTION") != "":
		return false
	case runtime.GOOS == "windows", runtime.GOOS == "darwin":
		return true
	}
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}
