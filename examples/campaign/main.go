// Command campaign makes a permanent code for each shop of a list, ready to print,
// and counts who follows by which of them.
//
//	campaign -shops shops.csv -out campaign    codes.zip and sheet.html
//	campaign -shops shops.csv -followers       how many follow by each code
//
// The list is a CSV file in UTF-8 of two columns, the shop's name and its scene
// (北京朝阳店,shop-001). WECHAT_APP_ID and WECHAT_APP_SECRET are the account's;
// WECHAT_BASE_URL points it at the sandbox. Without a list it makes the codes of 50
// invented shops with a fake WeChat that it starts itself, where some people scan.
//
// What was made is kept in tickets.json, so that running it again, also after a
// failure or with a longer list, makes no code twice.
package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	flags.SetOutput(out)
	list := flags.String("shops", "", "the `file` with the shops' names and scenes")
	dir := flags.String("out", "campaign", "the `folder` for codes.zip and sheet.html")
	kept := flags.String("tickets", "tickets.json", "the `file` that keeps the codes; back it up")
	followers := flags.Bool("followers", false, "count the followers instead, which asks WeChat for each 100")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *list == "" {
		fmt.Fprintln(out, "No -shops: these codes are of a fake WeChat inside this process. Do not print them.")
		return demo(ctx, *dir, out)
	}

	shops, err := readShops(*list)
	if err != nil {
		return err
	}
	creds := wechatqr.Credentials{
		AppID: getenv("WECHAT_APP_ID"), AppSecret: getenv("WECHAT_APP_SECRET"),
	}
	var opts []wechatqr.Option
	if url := getenv("WECHAT_BASE_URL"); url != "" {
		opts = append(opts, wechatqr.WithBaseURL(url))
	}
	client, err := wechatqr.New(creds, opts...)
	if err != nil {
		return err
	}
	c := campaign{client, shops, *dir, out}
	if *followers {
		return c.countFollowers(ctx)
	}
	store, err := tickets.OpenFile(*kept)
	if err != nil {
		return err
	}
	defer store.Close()
	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
	if err != nil {
		return err
	}
	return c.makeCodes(ctx, keeper)
}

type shop struct{ name, scene string }

func (s shop) request() wechatqr.TicketRequest {
	return wechatqr.Permanent(wechatqr.SceneString(s.scene))
}

// readShops refuses a list with any bad line, by its number.
func readShops(path string) ([]shop, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := strings.TrimPrefix(string(data), "\ufeff") // Excel writes one
	rows := csv.NewReader(strings.NewReader(text))
	rows.FieldsPerRecord, rows.TrimLeadingSpace = 2, true

	var shops []shop
	lines := map[string]int{} // by scene
	for {
		row, err := rows.Read()
		if err == io.EOF && len(shops) > 0 {
			return shops, nil
		}
		if err == io.EOF {
			err = errors.New("there is no shop in it")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}

		s := shop{strings.TrimSpace(row[0]), strings.TrimSpace(row[1])}
		line, _ := rows.FieldPos(0)
		err = s.request().Validate()
		if lines[s.scene] > 0 {
			err = fmt.Errorf("the scene %q is that of line %d too", s.scene, lines[s.scene])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, line, err)
		}
		lines[s.scene] = line
		shops = append(shops, s)
	}
}
