package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
)

// maker makes codes and keeps what it made in files.
type maker struct {
	client *wechatqr.Client
	dir    string
	out    io.Writer
}

func (m *maker) makeAll(ctx context.Context, codes []wechatqr.TicketRequest) ([]*wechatqr.Ticket, error) {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	var tickets []*wechatqr.Ticket
	for _, req := range codes {
		ticket, err := m.makeOne(ctx, req)
		if err != nil {
			return nil, err
		}
		tickets = append(tickets, ticket)
	}
	if isTerminal(m.out) {
		return tickets, qrimage.Terminal(m.out, qrimage.Code{Ticket: tickets[0]})
	}
	return tickets, nil
}

// makeOne keeps the ticket before anything else can fail: a permanent code
// cannot be looked up.
func (m *maker) makeOne(ctx context.Context, req wechatqr.TicketRequest) (*wechatqr.Ticket, error) {
	file, base, err := m.reserve()
	if err != nil {
		return nil, err
	}

	fmt.Fprintf(m.out, "making %s\n", describe(req))
	ticket, err := m.client.CreateTicket(ctx, req)
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	// Printed afterwards: a closed pipe ends the process at the first line.
	kept := keep(file, ticket)
	if !ticket.Permanent() {
		fmt.Fprintf(m.out, "  until   %s\n", ticket.ExpiresAt.Format(time.DateTime))
	}
	fmt.Fprintf(m.out, "  ticket  %s\n  content %s\n", ticket.Value, ticket.Content)
	if kept != nil {
		return nil, kept
	}
	fmt.Fprintf(m.out, "  kept in %s\n", file.Name())

	picture, err := m.client.FetchQRCode(ctx, ticket.Value)
	if err != nil {
		return nil, err
	}
	path := base + picture.Extension()
	if err := writeNew(path, picture.Data); err != nil {
		return nil, err
	}
	fmt.Fprintf(m.out, "  picture %s\n", path)
	return ticket, nil
}

func describe(req wechatqr.TicketRequest) string {
	if req.TTL() == 0 {
		return "a permanent code with the scene " + req.Scene().Key()
	}
	return fmt.Sprintf("a code with the scene %s for %v", req.Scene(), req.TTL())
}

func keep(file *os.File, ticket *wechatqr.Ticket) error {
	return errors.Join(json.NewEncoder(file).Encode(ticket), file.Sync(), file.Close())
}

// reserve makes the file for the next ticket: code-1.json, or the first number
// that is free. What was made before stays.
func (m *maker) reserve() (file *os.File, base string, err error) {
	for i := 1; ; i++ {
		name := fmt.Sprintf("code-%d", i)
		taken, err := fs.Glob(os.DirFS(m.dir), name+".*")
		if err != nil {
			return nil, "", err
		}
		if len(taken) > 0 {
			continue
		}
		base = filepath.Join(m.dir, name)
		file, err = os.OpenFile(base+".json", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return file, base, err
		}
	}
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
