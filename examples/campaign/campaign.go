package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/qrimage"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

type campaign struct {
	client *wechatqr.Client
	shops  []shop
	dir    string // of the pictures
	out    io.Writer
}

// makeCodes makes those that are missing, and draws all.
func (c campaign) makeCodes(ctx context.Context, keeper *tickets.Keeper) error {
	var codes []qrimage.Code
	for ticket, err := range keeper.All(ctx, c.requests()) {
		if err != nil {
			return fmt.Errorf("%w\nrun it again with the same list for the rest", err)
		}
		codes = append(codes, qrimage.Code{Ticket: ticket, Caption: c.shops[len(codes)].name})
		if n := len(codes); n%10 == 0 || n == len(c.shops) {
			fmt.Fprintf(c.out, "%d of %d codes\n", n, len(c.shops))
		}
	}

	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	err := c.write("codes.zip", func(w io.Writer) error {
		style := qrimage.Style{Size: qrimage.Millimetres(40), ShowCaption: true}
		return qrimage.ZIP(w, slices.Values(codes), qrimage.FormatSVG, style)
	})
	if err != nil {
		return err
	}
	return c.write("sheet.html", func(w io.Writer) error {
		return qrimage.Sheet(w, slices.Values(codes), qrimage.Layout{Title: "门店二维码"})
	})
}

func (c campaign) requests() iter.Seq[wechatqr.TicketRequest] {
	return func(yield func(wechatqr.TicketRequest) bool) {
		for _, s := range c.shops {
			if !yield(s.request()) {
				return
			}
		}
	}
}

func (c campaign) write(name string, draw func(io.Writer) error) error {
	path := filepath.Join(c.dir, name)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(draw(file), file.Close()); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "wrote", path)
	return nil
}

// countFollowers asks WeChat by which code each follower came.
func (c campaign) countFollowers(ctx context.Context) error {
	came := map[string]int{} // by scene
	total := 0
	for user, err := range account.Users(ctx, c.client, account.Followers(ctx, c.client, "")) {
		if err != nil {
			return err
		}
		came[user.Scene]++
		total++
	}

	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	others := total
	for _, s := range c.shops {
		n := came[s.scene]
		others -= n
		fmt.Fprintf(table, "%d\t%s\n", n, s.name)
	}
	fmt.Fprintf(table, "%d\t%s\n", others, "others")
	return table.Flush()
}

// demo is a campaign of 50 shops in which people scan in three.
func demo(ctx context.Context, dir string, out io.Writer) error {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	c := campaign{client: wx.Client(), dir: dir, out: out}
	for n := range 50 {
		c.shops = append(c.shops, shop{fmt.Sprintf("%d 号店", n+1), fmt.Sprintf("shop-%03d", n+1)})
	}
	keeper, err := tickets.NewKeeper(
		wx.Credentials().AppID, wx.Client(), tickets.NewMemory(), tickets.WithPace(0))
	if err != nil {
		return err
	}
	if err := c.makeCodes(ctx, keeper); err != nil {
		return err
	}

	wx.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "success") // a campaign needs no callback
	}))
	for n, code := range wx.QRCodes()[:3] {
		for person := range n + 1 {
			openID := fmt.Sprintf("o-%s-%d", code.Scene(), person+1)
			if _, err := wx.Scan(ctx, code.Ticket, openID); err != nil {
				return err
			}
		}
	}
	return c.countFollowers(ctx)
}
