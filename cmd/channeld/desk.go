package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/alert"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/codes"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/live"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/outbox"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/page"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/people"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/reconcile"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/settings"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/setup"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/signin"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/webui"
	"github.com/wechatqr/wechatqr/sqlstore"
)

// desk is the program on one database.
type desk struct {
	config *config
	logger *slog.Logger

	store   *store.Store
	feed    *live.Feed
	numbers *page.Pages // which have the frame of all others
	door    *signin.Door
	pages   http.Handler
	reopen  chan struct{} // sent to when the account has changed

	// The others are nil until the account is set up.
	ledger   *channels.Ledger
	client   *wechatqr.Client
	callback *events.Handler
	worker   *codes.Worker
	tags     *outbox.Worker
	alerts   *alert.Worker
	lists    *reconcile.Worker
}

// openDesk opens the database and what works on it. Close it when done.
func openDesk(
	ctx context.Context, c *config, key *personKey, logger *slog.Logger,
) (d *desk, err error) {
	d = &desk{config: c, logger: logger, feed: live.NewFeed(), reopen: make(chan struct{}, 1)}
	if d.store, err = store.Open(ctx, c.db); err != nil {
		return nil, err
	}
	opened := d // which an error returns as nil
	defer func() {
		if err != nil {
			_ = opened.close()
		}
	}()
	if c.isSetUp() {
		if err := d.begin(ctx, key); err != nil {
			return nil, err
		}
	}
	return d, d.buildPages(key)
}

// withDesk opens the desk of the account that there is now, for as long as f works on it.
func withDesk(
	ctx context.Context, c config, key *personKey, logger *slog.Logger, f func(*desk) error,
) error {
	if err := c.readAccount(); err != nil {
		return err
	}
	d, err := openDesk(ctx, &c, key, logger)
	if err != nil {
		return err
	}
	return errors.Join(f(d), d.close())
}

// begin opens the ledger, and makes what works on it.
func (d *desk) begin(ctx context.Context, key *personKey) (err error) {
	c := d.config
	if d.ledger, err = d.openLedger(ctx, &c.account, key); err != nil {
		return err
	}
	shared, err := d.share(ctx)
	if err != nil {
		return err
	}
	options := []wechatqr.Option{wechatqr.WithLogger(d.logger)}
	callback := []events.Option{events.WithProblemHandler(d.logProblem)}
	if shared != nil {
		options = append(options, wechatqr.WithTokenStore(shared))
		callback = append(callback, events.WithDeduper(shared))
	}
	if c.api != "" {
		options = append(options, wechatqr.WithBaseURL(c.api))
	}
	if d.client, err = wechatqr.New(c.account.Credentials, options...); err != nil {
		return err
	}
	function := d.ledger.Record(d.feed.Watch(outbox.Enqueue(d.store, d.logger, d.welcome)))
	if d.callback, err = events.NewHandler(c.account.Events, function, callback...); err != nil {
		return err
	}
	d.worker = &codes.Worker{
		Store: d.store, Ledger: d.ledger, Client: d.client, Logger: d.logger,
		Wake: make(chan struct{}, 1),
	}
	d.tags = &outbox.Worker{Store: d.store, Client: d.client, Logger: d.logger}
	d.alerts = &alert.Worker{
		Store: d.store, Ledger: d.ledger, Logger: d.logger, Location: c.account.Location,
		Origin: c.origin,
	}
	d.lists = &reconcile.Worker{
		Store: d.store, Ledger: d.ledger, Client: d.client, Logger: d.logger,
		Location: c.account.Location, Asked: make(chan *reconcile.Run, 1),
	}
	return nil
}

// openLedger opens the account's ledger. A key that this start has made is removed if the
// database has another.
func (d *desk) openLedger(
	ctx context.Context, a *setup.Account, key *personKey,
) (*channels.Ledger, error) {
	ledger, err := channels.Open(ctx, d.store.DB(), d.store.Dialect(), channels.Config{
		AppID: a.Credentials.AppID, PersonKey: key.value, Location: a.Location,
		KeepAfterUnfollow: a.Keep,
	})
	if errors.Is(err, channels.ErrWrongKey) {
		key.discard()
		err = fmt.Errorf("%w: it is in PERSON_KEY or, with -key, in %s", err, d.config.keyFile)
	}
	return ledger, err
}

func (d *desk) close() error {
	d.feed.Close()
	return d.store.Close()
}

// logProblem leaves out the event, which tells whose it is.
func (d *desk) logProblem(ctx context.Context, p events.Problem) {
	d.logger.WarnContext(
		ctx, "channeld: callback", "err", p.Err, "status", p.Status, "hint", p.Hint,
	)
}

// share returns what several processes on one database need: the access token and which
// pushes were handled. A SQLite file has one process.
func (d *desk) share(ctx context.Context) (*sqlstore.Store, error) {
	dialects := map[string]sqlstore.Dialect{
		channels.PostgreSQL.String(): sqlstore.PostgreSQL, channels.MySQL.String(): sqlstore.MySQL,
	}
	dialect, ok := dialects[d.store.Dialect().String()]
	if !ok {
		return nil, nil
	}
	shared, err := sqlstore.New(d.store.DB(), dialect)
	if err != nil {
		return nil, err
	}
	return shared, shared.CreateTable(ctx)
}

// welcome answers who comes by a channel that has a welcome text. It never fails: the
// event has been counted.
func (d *desk) welcome(ctx context.Context, _ *wechatqr.Event) (events.Reply, error) {
	visit, ok := channels.VisitFrom(ctx)
	came := visit.Kind == channels.NewFollower || visit.Kind == channels.ReturningFollower ||
		visit.Kind == channels.Follower
	if !ok || !came || visit.Channel.Key == "" {
		return nil, nil
	}
	text, err := d.store.Welcome(ctx, visit.Channel.Key)
	if err != nil {
		d.logger.Error("channeld: welcome text", "err", err)
	}
	if text == "" {
		return nil, nil
	}
	return events.Text(text), nil
}

// buildPages puts the routes together.
func (d *desk) buildPages(key *personKey) error {
	d.numbers = page.New(page.Config{
		Ledger: d.ledger, Store: d.store, Client: d.client, Feed: d.feed,
		Location: d.config.account.Location, Now: time.Now, Logger: d.logger,
		Reconcile: d.lists,
	})
	var err error
	d.door, err = signin.New(signin.Config{
		Store: d.store, Frame: d.numbers.Frame, Logger: d.logger, Origin: d.config.origin,
		Forwarded: d.config.forwarded,
	})
	if err != nil {
		return err
	}
	guard, err := webui.NewGuard("channeld", d.config.origin)
	if err != nil {
		return err
	}
	account := d.setupPages(key)
	routes := append(account.Routes(), account.LeadHere())
	if d.config.isSetUp() {
		routes = append(account.Routes(), d.routes()...)
	}
	mux, err := web.Mount(routes, d.open(), d.door.Refuse)
	if err != nil {
		return err
	}
	d.pages = withReadTimeout(postTimeout, limitForms(guard.Pages(d.door.Know(mux))))
	return nil
}

// setupPages is the page of the account.
func (d *desk) setupPages(key *personKey) *setup.Pages {
	c := d.config
	return setup.New(setup.Config{
		Frame: d.numbers.Frame, Logger: d.logger, Account: c.account, File: c.accountFile,
		ZoneFlag: c.given["zone"], KeepFlag: c.given["keep"], Callback: c.callbackURL,
		Endpoint: c.endpoint(),
		Open: func(ctx context.Context, a *setup.Account) error {
			_, err := d.openLedger(ctx, a, key)
			return err
		},
		Saved: d.accountChanged,
	})
}

// accountChanged has serve return errReopen.
func (d *desk) accountChanged() {
	select {
	case d.reopen <- struct{}{}:
	default: // it does
	}
}

// routes are those that need a role, but that of the account.
func (d *desk) routes() []web.Route {
	c := d.config
	settingsPages := settings.New(settings.Config{
		Store: d.store, Ledger: d.ledger, Frame: d.numbers.Frame, Logger: d.logger,
		Origin: c.origin, Callback: c.callbackURL, AppID: c.account.Credentials.AppID,
		File: c.accountFile, Location: c.account.Location, Keep: c.account.Keep,
		Doctor: c.doctor(),
	})
	makeAndPrint := codes.New(codes.Config{
		Store: d.store, Ledger: d.ledger, Client: d.client, Frame: d.numbers.Frame,
		Logger: d.logger, Location: c.account.Location, Worker: d.worker,
	})
	peoplePages := people.New(people.Config{
		Store: d.store, Ledger: d.ledger, Frame: d.numbers.Frame, Logger: d.logger,
	})
	return slices.Concat(d.numbers.Routes(), settingsPages.Routes(), makeAndPrint.Routes(),
		peoplePages.Routes(), d.ownRoutes())
}

func (d *desk) ownRoutes() []web.Route {
	return []web.Route{
		{Pattern: "GET /live", Needs: web.Guest, Handle: d.feed.Stream(d.door.Visitor), Long: true},
		{Pattern: "POST /settings/backup", Needs: web.Admin, Handle: d.backup, Long: true},
	}
}

// open are those that need none.
func (d *desk) open() []web.Route {
	routes := slices.Concat(d.door.Open(), d.numbers.Open(), []web.Route{
		{Pattern: "GET /healthz", Handle: d.health},
		{Pattern: "GET /language", Handle: chooseLanguage},
	})
	if d.config.isSetUp() {
		notFound := web.Frame(d.numbers.Frame).NotFound
		routes = append(routes, web.Route{Pattern: "GET /", Handle: notFound})
	}
	return routes
}

// chooseLanguage keeps the language and leads back to the page.
func chooseLanguage(w http.ResponseWriter, r *http.Request) {
	webui.ChooseLanguage(w, web.LanguageCookie, r.FormValue("to"))
	http.Redirect(w, r, web.LocalPath(r.FormValue("back")), http.StatusSeeOther)
}

// health says whether the database answers. It tells nothing else.
func (d *desk) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	w.Header().Set("Cache-Control", "no-store")
	if err := d.store.DB().PingContext(ctx); err != nil {
		d.logger.Error("channeld: the database does not answer", "err", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// maxForm is the most that a form may send, an upload included.
const maxForm = 5 << 20

func limitForms(next http.Handler) http.Handler { return http.MaxBytesHandler(next, maxForm) }
