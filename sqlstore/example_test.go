package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/sqlstore"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// It does not run, for want of the database.
func Example() {
	ctx := context.Background()
	creds, err := wechatqr.CredentialsFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	callback := events.Config{AppID: creds.AppID, Token: "token", Plaintext: true}
	onScan := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, nil }

	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.CreateTable(ctx); err != nil {
		log.Fatal(err)
	}
	client, err := wechatqr.New(creds, wechatqr.WithTokenStore(store))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := events.NewHandler(callback, onScan, events.WithDeduper(store))
	if err != nil {
		log.Fatal(err)
	}
	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
	if err != nil {
		log.Fatal(err)
	}
	login, err := scanlogin.New(client, "https://example.com/login", scanlogin.WithStore(store))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client, handler, keeper, login)
}

// A code is created once, also by several processes on one file.
func ExampleNew_sqlite() {
	dir, err := os.MkdirTemp("", "sqlstore")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shops.db")+
		"?_pragma=journal_mode(wal)&_pragma=busy_timeout(100)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if err := store.CreateTable(ctx); err != nil {
		log.Fatal(err)
	}

	wx := wechatqrtest.NewServer() // in your program: wechatqr.New
	defer wx.Close()
	keeper, err := tickets.NewKeeper(wx.Credentials().AppID, wx.Client(), store)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		ticket, err := keeper.Ticket(ctx, wechatqr.Permanent(wechatqr.SceneString("shop-7")))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ticket.Scene.Key(), len(wx.QRCodes()))
	}
	// Output:
	// shop-7 1
	// shop-7 1
}

// For a migration of your own instead of CreateTable.
func ExampleDialect_Schema() {
	fmt.Print(sqlstore.PostgreSQL.Schema())
	// Output:
	// CREATE TABLE IF NOT EXISTS wechatqr_store (
	// 	id         VARCHAR(80) NOT NULL PRIMARY KEY,
	// 	revision   BIGINT NOT NULL,
	// 	data       BYTEA NOT NULL,
	// 	ends       BIGINT NOT NULL,
	// 	owner      BYTEA NOT NULL,
	// 	lease_ends BIGINT NOT NULL,
	// 	expires    BIGINT NOT NULL
	// );
	// CREATE INDEX IF NOT EXISTS wechatqr_store_expires ON wechatqr_store (expires);
}
