package account_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// newFake is an account with three followers. The second came by a code.
func newFake() *wechatqrtest.Server {
	fake := wechatqrtest.NewServer()
	fake.PutUser(wechatqrtest.User{OpenID: "o6_first", Follows: true})
	fake.PutUser(wechatqrtest.User{
		OpenID: "o6_second", Follows: true, SubscribeScene: "ADD_SCENE_QR_CODE", SceneStr: "shop-7",
	})
	fake.PutUser(wechatqrtest.User{OpenID: "o6_third", Follows: true})
	return fake
}

// Who of the followers came by which code: two calls for up to 100 followers.
func Example() {
	fake := newFake()
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()

	for user, err := range account.Users(ctx, client, account.Followers(ctx, client, "")) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s %q\n", user.OpenID, user.Scene)
	}
	// Output:
	// o6_first ""
	// o6_second "shop-7"
	// o6_third ""
}

func ExampleUser() {
	fake := newFake()
	defer fake.Close()

	user, err := account.User(context.Background(), fake.Client(), "o6_second")
	fmt.Println(user.Follows, user.Scene, err)
	// Output: true shop-7 <nil>
}

// An unknown openid does not keep the others from being asked for.
func ExampleUsers() {
	fake := newFake()
	defer fake.Close()
	ctx := context.Background()

	openIDs := account.OpenIDs("o6_first", "o6_stranger", "o6_second")
	for user, err := range account.Users(ctx, fake.Client(), openIDs) {
		switch {
		case err != nil && user.OpenID != "":
			fmt.Println("unknown:", user.OpenID)
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println("follows:", user.OpenID)
		}
	}
	// Output:
	// follows: o6_first
	// unknown: o6_stranger
	// follows: o6_second
}

// The openid of the last follower that was handled resumes the list another day.
func ExampleFollowers() {
	fake := newFake()
	defer fake.Close()

	for openID, err := range account.Followers(context.Background(), fake.Client(), "o6_first") {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(openID)
	}
	// Output:
	// o6_second
	// o6_third
}

func ExampleOpenIDs() {
	for openID := range account.OpenIDs("o6_first", "o6_second") {
		fmt.Println(openID)
	}
	// Output:
	// o6_first
	// o6_second
}

func ExampleSendText() {
	fake := newFake()
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()

	fmt.Println(account.SendText(ctx, client, "o6_first", "Thank you"))
	fake.Advance(2 * time.Minute)
	err := account.SendText(ctx, client, "o6_first", "And one thing more")
	if e, ok := err.(*wechatqr.Error); ok {
		hint, _, _ := strings.Cut(e.Hint(), ",")
		fmt.Println(e.Code, hint)
	}
	// Output:
	// <nil>
	// 45015 too late for a customer service message
}

func ExampleQuota() {
	fake := newFake()
	defer fake.Close()

	quota, err := account.Quota(context.Background(), fake.Client(), "/cgi-bin/qrcode/create")
	fmt.Println(quota.Used, "of", quota.Daily, err)
	// Output: 0 of 100000 <nil>
}

func ExampleClearQuota() {
	fake := newFake()
	defer fake.Close()

	err := account.ClearQuota(context.Background(), fake.Client(), fake.Credentials().AppID)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleExplainCall() {
	fake := newFake()
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()

	_, err := account.User(ctx, client, "o6_stranger")
	if e, ok := err.(*wechatqr.Error); ok {
		call, err := account.ExplainCall(ctx, client, e.RequestID)
		fmt.Println(call.ClientIP, err)
	}
	// Output: 127.0.0.1 <nil>
}

func ExampleCheckCallback() {
	fake := newFake()
	defer fake.Close()
	fake.ServeCallback(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "success")
	}))

	check, err := account.CheckCallback(context.Background(), fake.Client())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ping := range check.Ping {
		fmt.Printf("%s from %s: %.0f %% lost\n", ping.IP, ping.From, 100*ping.Lost)
	}
	// Output: 127.0.0.1 from CAP: 0 % lost
}

// The week before yesterday, which is there at any hour.
func ExampleDailySummary() {
	fake := newFake()
	defer fake.Close()
	ctx, client, today := context.Background(), fake.Client(), fake.Now()
	fake.Advance(9 * 24 * time.Hour)

	for day, err := range account.DailySummary(ctx, client, today, today.AddDate(0, 0, 6)) {
		if err != nil {
			fmt.Println(err)
			break
		}
		for _, s := range day.Sources {
			if s.Source == account.SourceQRCode {
				fmt.Println(s.New, "of", day.New, "by scanning a code;", day.Followers, "followers")
			}
		}
	}
	// Output: 1 of 3 by scanning a code; 3 followers
}

func ExampleTag() {
	fake := newFake()
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()
	vip := fake.AddTag("VIP")

	if err := account.Tag(ctx, client, vip, account.OpenIDs("o6_first", "o6_second")); err != nil {
		fmt.Println(err)
	}
	if err := account.Untag(ctx, client, vip, account.OpenIDs("o6_first")); err != nil {
		fmt.Println(err)
	}
	tags, err := account.Tags(ctx, client)
	fmt.Println(tags, err)
	// Output: [{100 VIP 1}] <nil>
}

func ExampleUntag() {
	fake := newFake()
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()
	vip := fake.AddTag("VIP")

	fmt.Println(account.Untag(ctx, client, vip, account.Followers(ctx, client, "")))
	// Output: <nil>
}

// The ID of a tag by its name.
func ExampleTags() {
	fake := newFake()
	defer fake.Close()
	fake.AddTag("VIP")

	tags, err := account.Tags(context.Background(), fake.Client())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tag := range tags {
		if tag.Name == "VIP" {
			fmt.Println(tag.ID)
		}
	}
	// Output: 100
}

// followersByScene counts an account's followers by the code that brought them.
func followersByScene(ctx context.Context, client *wechatqr.Client) (map[string]int, error) {
	counts := map[string]int{}
	for user, err := range account.Users(ctx, client, account.Followers(ctx, client, "")) {
		switch {
		case err != nil && user.OpenID != "":
			continue // left while the list was read
		case err != nil:
			return nil, err
		case user.Follows && user.Scene != "":
			counts[user.Scene]++
		}
	}
	return counts, nil
}

// A campaign's shops, each with its code: how many followers each brought.
func ExampleUsers_campaign() {
	fake := newFake()
	defer fake.Close()

	counts, err := followersByScene(context.Background(), fake.Client())
	fmt.Println(counts, err)
	// Output: map[shop-7:1] <nil>
}

// An API that this package does not have is a request and the fields of its
// response. Idempotent is left out, for a tag must not be created twice.
func Example_anotherAPI() {
	fake := newFake()
	defer fake.Close()

	type tag struct {
		ID   int    `json:"id,omitempty"`
		Name string `json:"name"`
	}
	var out struct {
		Tag tag `json:"tag"`
	}
	err := fake.Client().Do(context.Background(), wechatqr.Request{
		Method: http.MethodPost, Path: "/cgi-bin/tags/create",
		Body: map[string]tag{"tag": {Name: "VIP"}},
	}, &out)
	fmt.Println(out.Tag.ID, err)
	// Output: 100 <nil>
}
