// Command channeld is the desk of an account: it makes the channels' codes, receives the
// pushes and shows the numbers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(exitCode()) }

func exitCode() int {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as by nohup
		ends = append(ends, syscall.SIGHUP) // somebody has closed the terminal
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		if text := advice(err); text != "" {
			fmt.Fprint(os.Stderr, "\n", text, "\n")
		}
		keepWindow()
		return 1
	}
	return 0
}

// run serves the desk until ctx ends.
func run(
	ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer,
) (err error) {
	c, err := parseConfig(args, getenv, stderr)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	switch {
	case c.invite != "":
		return printInvitation(ctx, &c, stdout)
	case c.copyTarget != "":
		return printCopy(ctx, &c, stdout, logger)
	case c.demo:
		return runDemo(ctx, &c, stdout, logger)
	}

	l, err := c.listeners(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	key, err := c.loadPersonKey()
	if err != nil {
		return err
	}
	warnOfReaders(logger, c.keyFile, c.accountFile)
	return serveAccount(ctx, c, &key, l, stdout, logger)
}

const reopenPause = 2 * time.Second

// serveAccount serves the account that there is, and opens the desk again when that has
// changed.
func serveAccount(
	ctx context.Context, c config, key *personKey, l listeners, stdout io.Writer,
	logger *slog.Logger,
) error {
	greeted := false
	for {
		opened := false
		err := withDesk(ctx, c, key, logger, func(d *desk) error {
			opened = true
			if !greeted {
				if err := d.greet(ctx, stdout, l); err != nil {
					return err
				}
			}
			greeted = true
			return d.serve(ctx, l)
		})
		switch {
		case errors.Is(err, errReopen):
		case greeted && !opened: // the database may be away for a while
			logger.Error("channeld: the desk cannot be opened again", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reopenPause):
			}
		default:
			return err
		}
	}
}
