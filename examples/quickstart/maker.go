package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
	"github.com/wechatqr/wechatqr/tickets"
)

// maker makes codes, once each, and saves their pictures.
type maker struct {
	client *wechatqr.Client
	keeper *tickets.Keeper
	dir    string // for the pictures
	out    io.Writer
}

func newMaker(
	client *wechatqr.Client, appID string, store tickets.Store, dir string, out io.Writer,
) (*maker, error) {
	keeper, err := tickets.NewKeeper(appID, client, store)
	return &maker{client, keeper, dir, out}, err
}

func (m *maker) makeAll(ctx context.Context, codes []wechatqr.TicketRequest) ([]*wechatqr.Ticket, error) {
	var made []*wechatqr.Ticket
	for _, req := range codes {
		ticket, err := m.makeOne(ctx, req)
		if err != nil {
			return nil, err
		}
		made = append(made, ticket)
	}
	if isTerminal(m.out) {
		return made, qrimage.Terminal(m.out, qrimage.Code{Ticket: made[0]})
	}
	return made, nil
}

// makeOne prints nothing of a ticket that is not kept yet: where nobody reads the
// output any more, printing ends the process.
func (m *maker) makeOne(ctx context.Context, req wechatqr.TicketRequest) (*wechatqr.Ticket, error) {
	fmt.Fprintf(m.out, "making %s, unless it was made before\n", describe(req))
	ticket, err := m.keeper.Ticket(ctx, req)
	if err != nil {
		return nil, err
	}
	if !ticket.Permanent() {
		fmt.Fprintf(m.out, "  until   %s\n", ticket.ExpiresAt.Format(time.DateTime))
	}
	fmt.Fprintf(m.out, "  ticket  %s\n  content %s\n", ticket.Value, ticket.Content)

	picture, err := m.client.FetchQRCode(ctx, ticket.Value)
	if err != nil {
		return nil, err
	}
	path, err := m.savePicture(picture)
	if err != nil {
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

// savePicture writes code-1.jpg, or the first number that is free.
func (m *maker) savePicture(picture *wechatqr.QRCode) (path string, err error) {
	for i := 1; ; i++ {
		path = filepath.Join(m.dir, fmt.Sprintf("code-%d%s", i, picture.Extension()))
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = file.Write(picture.Data)
		return path, errors.Join(err, file.Close())
	}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
