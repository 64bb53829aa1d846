package tickets_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// exampleKeeper keeps in memory what a fake WeChat creates.
func exampleKeeper(wx *wechatqrtest.Server, opts ...tickets.Option) *tickets.Keeper {
	keeper, err := tickets.NewKeeper(wx.Credentials().AppID, wx.Client(),
		tickets.NewMemory(), opts...)
	if err != nil {
		log.Fatal(err)
	}
	return keeper
}

func shopCode(name string) wechatqr.TicketRequest {
	return wechatqr.Permanent(wechatqr.SceneString(name))
}

// A permanent code is created at the first start of a program. Later starts find
// it in the file.
func Example() {
	wx := wechatqrtest.NewServer() // your program has wechatqr.New instead
	defer wx.Close()
	dir, err := os.MkdirTemp("", "shops")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	for start := range 2 {
		store, err := tickets.OpenFile(filepath.Join(dir, "tickets.json"))
		if err != nil {
			log.Fatal(err)
		}
		keeper, err := tickets.NewKeeper(wx.Credentials().AppID, wx.Client(), store)
		if err != nil {
			log.Fatal(err)
		}
		ticket, err := keeper.Ticket(context.Background(), shopCode("shop-7"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("start %d: %s, %d created\n", start+1, ticket.Scene.Key(), len(wx.QRCodes()))
		if err := store.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// start 1: shop-7, 1 created
	// start 2: shop-7, 1 created
}

func ExampleNewKeeper() {
	ctx := context.Background()
	creds, err := wechatqr.CredentialsFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	client, err := wechatqr.New(creds)
	if err != nil {
		log.Fatal(err)
	}

	store, err := tickets.OpenFile("tickets.json")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := keeper.Ticket(ctx, wechatqr.Permanent(wechatqr.SceneString("shop-7")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Content)
}

func ExampleOpenFile() {
	dir, err := os.MkdirTemp("", "shops")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tickets.json")

	store, err := tickets.OpenFile(path)
	if err != nil {
		log.Fatal(err)
	}
	_, err = tickets.OpenFile(path)
	fmt.Println("a second process:", errors.Is(err, tickets.ErrInUse))
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	if err := os.WriteFile(path, []byte("not JSON"), 0o600); err != nil {
		log.Fatal(err)
	}
	_, err = tickets.OpenFile(path)
	fmt.Println("not this package's file:", errors.Is(err, tickets.ErrCorrupt))
	// Output:
	// a second process: true
	// not this package's file: true
}

func ExampleKeeper_Ticket() {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	keeper := exampleKeeper(wx)
	screen := wechatqr.Temporary(wechatqr.SceneString("screen-1"), time.Hour)
	for range 3 { // renewed once half of the hour is over
		ticket, err := keeper.Ticket(context.Background(), screen)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ticket.Scene.Key(), len(wx.QRCodes()))
	}
	// Output:
	// screen-1 1
	// screen-1 1
	// screen-1 1
}

// Many codes, with the progress, and what to do about the rest.
func ExampleKeeper_All() {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	keeper := exampleKeeper(wx, tickets.WithBudget(2), tickets.WithPace(0))
	shops := []wechatqr.TicketRequest{shopCode("beijing"), shopCode("shanghai"),
		shopCode("chengdu")}
	done := 0
	for ticket, err := range keeper.All(context.Background(), slices.Values(shops)) {
		var stopped *tickets.StoppedError
		if errors.As(err, &stopped) {
			fmt.Println(stopped)
			fmt.Println("left:", stopped.Left[0].Scene().Key())
			break
		}
		done++
		fmt.Printf("%d of %d: %s\n", done, len(shops), ticket.Scene.Key())
	}
	// Output:
	// 1 of 3: beijing
	// 2 of 3: shanghai
	// wechatqr: tickets: stopped after 2 codes with 1 left: wechatqr: tickets: claim ticket: the budget of permanent codes is used up: 2 are known
	// left: chengdu
}

// A screen shows <img src="/code">, and always a code that is good.
func ExampleKeeper_Picture() {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	var mux http.ServeMux
	screen := wechatqr.Temporary(wechatqr.SceneString("screen-1"), time.Hour)
	mux.Handle("/code", exampleKeeper(wx).Picture(screen))

	resp := httptest.NewRecorder()
	mux.ServeHTTP(resp, httptest.NewRequest(http.MethodGet, "/code", nil))
	fmt.Println(resp.Code, resp.Header().Get("Content-Type"))
	// Output: 200 image/jpeg
}

func ExampleKeeper_Budget() {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	keeper := exampleKeeper(wx)
	if _, err := keeper.Ticket(context.Background(), shopCode("shop-7")); err != nil {
		log.Fatal(err)
	}
	budget, err := keeper.Budget(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(budget.Known, budget.Left())
	// Output: 1 99999
}
