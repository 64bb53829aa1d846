package wechatqr

// advice is what to do about an error, in English and Chinese. {ip} stands for
// the address that the error names.
type advice struct{ en, zh string }

type codeRow struct {
	code ErrorCode
	kind *error // a pointer, so that the table needs no code to fill it
	advice
}

var (
	checkArgs = advice{"correct the request: repeating it is no use", "请修正请求参数，重试无效"}
	tryLater  = advice{"try again in a moment", "请稍后重试"}

	adviceUnsure         = advice{"it may have been carried out: look before you repeat it", "请求可能已被执行，请先确认结果再重试"}
	adviceUnsureCreation = advice{"the code may have been made, and cannot be looked up: make it again with the same scene, which takes at most one more of the 100000", "二维码可能已生成且无法查询：请以相同场景值重新生成，最多多占一个永久名额"}
	adviceUnsureBefore   = advice{"an attempt before this one may have been carried out", "此前的一次请求可能已被执行"}
)

// What is known of errors that the code alone does not tell apart.
var (
	rowUnexpected     = codeRow{kind: &ErrUnexpectedResponse}
	rowOutcomeUnknown = codeRow{kind: &ErrOutcomeUnknown}
	rowTooMany        = codeRow{kind: &ErrRateLimited}
	rowTicketNotFound = codeRow{kind: &ErrTicketNotFound}
	rowDown           = codeRow{0, &ErrBusy, advice{"WeChat, or a proxy on the way, is down: try later", "微信或中间代理不可用，请稍后重试"}}
	rowStillDown      = codeRow{0, &ErrBusy, advice{"WeChat, or a proxy on the way, is down; it was tried again already", "微信或中间代理不可用，已自动重试"}}
	rowWrongSecret    = codeRow{40001, &ErrInvalidCredential, advice{"the AppSecret is not this AppID's, or was reset, and the console does not show it again: ask who reset it", "AppSecret 与 AppID 不匹配或已被重置；后台不再显示原值，请先确认是否有人重置过"}}
	rowClassicQuota   = codeRow{45009, &ErrQuota, advice{"the quota of the day is used up: wait for tomorrow or use the stable endpoint, which has its own", "当日调用次数已用完，请等次日，或改用 stable_token"}}
)

// codeTable is every code of the API that this library knows. make tables writes
// it into docs.
var codeTable = [...]codeRow{
	{-1, &ErrBusy, tryLater},
	{40001, &ErrTokenRejected, advice{"another program had a new token made (force_refresh, or a token of the classic endpoint that is not shared), the AppSecret was reset, or the token is another account's", "可能有其他程序重新获取了 token（force_refresh，或未共用的 /cgi-bin/token）、AppSecret 已被重置，或 token 属于其他账号"}},
	{40002, &ErrInvalidCredential, advice{"grant_type must be client_credential", "grant_type 须为 client_credential"}},
	{40003, &ErrInvalidArgument, advice{"the openid is not a follower of this account", "openid 不属于该账号的关注者"}},
	{40008, &ErrInvalidArgument, advice{"msgtype is unknown, or the element it names is missing", "msgtype 无效，或缺少对应的消息内容"}},
	{40013, &ErrInvalidCredential, advice{"no such AppID: compare it with the console", "AppID 无效，请在后台核对"}},
	{40014, &ErrTokenRejected, advice{"the token is not this account's or was cut off in storage", "access_token 无效，可能属于其他账号或存储时被截断"}},
	{40032, &ErrInvalidArgument, advice{"the list of openids is empty or too long: 100 for user/info/batchget, 50 for tags", "openid 列表为空或过长：user/info/batchget 每次 100 个，标签每次 50 个"}},
	{40033, &ErrInvalidArgument, advice{`send raw UTF-8, not \u escapes, and no control characters`, `请发送原始 UTF-8，不要用 \u 转义或控制字符`}},
	{40052, &ErrInvalidArgument, checkArgs},
	{40053, &ErrInvalidArgument, advice{"the scene is out of range: text of 1 to 64 bytes, permanent numbers up to 100000", "场景值超出范围：字符串 1–64 字节，永久整数不超过 100000"}},
	{40097, &ErrInvalidArgument, checkArgs},
	{40125, &ErrInvalidCredential, advice{"the AppSecret is wrong or was reset, and the console does not show it again: ask who reset it; another reset ends the present one at once", "AppSecret 错误或已被重置；后台不再显示原值，请先确认是否有人重置过，再次重置会使现用的立即失效"}},
	{40164, &ErrIPNotAllowed, advice{"add {ip} to the IP whitelist in the account's console; it takes effect within minutes", "请在后台将 {ip} 加入 IP 白名单，数分钟后生效"}},
	{40201, &ErrInvalidArgument, advice{"set the callback URL in the console first", "请先在后台配置回调 URL"}},
	{40202, &ErrInvalidArgument, checkArgs},
	{40203, &ErrInvalidArgument, checkArgs},
	{40243, &ErrInvalidCredential, advice{"the AppSecret is frozen: unfreeze it in the console, which takes effect after 10 minutes", "AppSecret 已冻结，请在后台解冻，约 10 分钟后生效"}},
	{41001, &ErrInvalidCredential, advice{"no token was sent: WithCloudHosting is for cloud hosting only", "缺少 access_token：WithCloudHosting 仅用于云托管"}},
	{41002, &ErrInvalidCredential, advice{"the AppID is missing", "缺少 AppID"}},
	{41004, &ErrInvalidCredential, advice{"the AppSecret is missing", "缺少 AppSecret"}},
	{42001, &ErrTokenRejected, advice{"the token expired; if a fresh one does too, check this machine's clock", "access_token 已过期；若新取的 token 也过期，请检查本机时钟"}},
	{43001, &ErrInvalidArgument, advice{"this API wants GET", "该接口须用 GET"}},
	{43002, &ErrInvalidArgument, advice{"this API wants POST", "该接口须用 POST"}},
	{43003, &ErrInvalidArgument, advice{"this API wants https", "该接口须用 https"}},
	{44002, &ErrInvalidArgument, advice{"the request had no body", "请求体为空"}},
	{44004, &ErrInvalidArgument, advice{"the message is empty", "消息内容为空"}},
	{45002, &ErrInvalidArgument, advice{"the message is too long: 2048 bytes of text", "消息内容过长：文本最多 2048 字节"}},
	{45009, &ErrQuota, advice{"the quota of the day is used up: wait for tomorrow or call clear_quota", "当日调用次数已用完，请等次日或调用 clear_quota"}},
	{45011, &ErrRateLimited, advice{"too many calls in this minute: wait a minute", "调用过于频繁，请等一分钟"}},
	{45015, &ErrInvalidArgument, advice{"too late for a customer service message, which may be sent for one minute after a follow, a scan or a menu click and for 48 hours after a message of the user's; or the user no longer follows", "超出客服消息下发时限：关注、扫码或点击菜单后 1 分钟内，用户发消息后 48 小时内；或用户已取消关注"}},
	{45029, &ErrPermanentLimit, advice{"the account's 100000 permanent codes are used up, and none can be freed: for screens use Temporary codes, for print another account", "永久二维码数量已达上限且无法释放：屏幕展示可改用临时二维码，印刷请换用其他账号"}},
	{45047, &ErrInvalidArgument, advice{"too many customer service messages: 3 within one minute after a follow, a scan or a menu click, 5 within 48 hours after a message of the user's; the next action of the user's allows more", "超出客服消息下发条数：关注、扫码或点击菜单后 1 分钟内 3 条，用户发消息后 48 小时内 5 条；用户再次互动后可继续发送"}},
	{45056, &ErrInvalidArgument, advice{"the account has 100 tags already: delete one", "账号已有 100 个标签，请先删除"}},
	{45059, &ErrInvalidArgument, advice{"one of the users has 20 tags already", "有用户的标签已达 20 个"}},
	{45157, &ErrInvalidArgument, advice{"the tag's name is empty or taken", "标签名为空或已存在"}},
	{45158, &ErrInvalidArgument, advice{"the tag's name has more than 30 bytes", "标签名超过 30 字节"}},
	{45159, &ErrInvalidArgument, advice{"the account has no tag with this ID; seen for existing tags too: then call again", "该账号没有此标签 ID；对已有标签也偶有出现，此时请重试"}},
	{47001, &ErrInvalidArgument, advice{"the body is no JSON that WeChat can read", "请求体不是可解析的 JSON"}},
	{47003, &ErrInvalidArgument, checkArgs},
	{48001, &ErrNotPermitted, advice{"the account may not use this API: parametric codes need a verified service account (or the test account)", "账号无此接口权限：带参数二维码须为已认证的服务号（或测试号）"}},
	{48004, &ErrNotPermitted, advice{"the API is banned for this account: see the console's notices", "接口被封禁，请查看后台通知"}},
	{48006, &ErrQuota, advice{"this month's clear_quota calls are used up", "本月 clear_quota 次数已用完"}},
	{49003, &ErrInvalidArgument, advice{"the openid is another account's", "openid 不属于该账号"}},
	{50001, &ErrNotPermitted, advice{"the user has not authorised this", "用户未授权该接口"}},
	{50002, &ErrNotPermitted, advice{"the account is limited: see the console's notices", "账号受限，请查看后台通知"}},
	{50004, &ErrNotPermitted, advice{"the account may not fetch tokens: see the console", "账号被禁止获取 token，请查看后台"}},
	{50007, &ErrNotPermitted, advice{"the account is frozen: see the console", "账号已冻结，请查看后台"}},
	{61004, &ErrIPNotAllowed, advice{"add {ip} to the IP whitelist of the third-party platform or the account", "请将 {ip} 加入第三方平台或账号的 IP 白名单"}},
	{61007, &ErrNotPermitted, advice{"the account has not granted this permission set to the platform: have it authorise again", "账号未将该权限集授权给第三方平台，请重新授权"}},
	{61016, &ErrInvalidArgument, checkArgs},
	{61500, &ErrInvalidArgument, advice{"dates have the form 2006-01-02", "日期格式须为 2006-01-02"}},
	{61501, &ErrInvalidArgument, advice{"ask for at most 7 days, the last of them yesterday in China", "每次最多查询 7 天，且截止日期最晚为昨天（北京时间）"}},
	{76001, &ErrInvalidArgument, checkArgs},
	{76002, &ErrInvalidArgument, checkArgs},
	{76003, &ErrInvalidArgument, checkArgs},
	{76004, &ErrInvalidArgument, checkArgs},
	{76021, &ErrInvalidArgument, advice{"cgi_path is unknown: begin with / and leave the host out", "cgi_path 不存在：须以 / 开头且不含域名"}},
	{76022, &ErrInvalidArgument, advice{"cgi_path wants another kind of token", "cgi_path 与 token 类型不符"}},
	{89503, &ErrIPNotAllowed, advice{"the administrator must confirm {ip} in the message WeChat sent; then call again", "请管理员在微信消息中确认 {ip} 后再调用"}},
	{89506, &ErrIPNotAllowed, advice{"the administrator refused {ip}: it stays blocked for 24 hours", "管理员已拒绝 {ip}，24 小时内不可调用"}},
	{89507, &ErrIPNotAllowed, advice{"the administrator refused {ip}: it stays blocked for an hour", "管理员已拒绝 {ip}，1 小时内不可调用"}},
	{9410010, &ErrInvalidArgument, advice{"long_data has more than 4 KB", "long_data 超过 4 KB"}},
	{9410011, &ErrInvalidArgument, advice{"expire_seconds is above 30 days", "expire_seconds 超过 30 天"}},
	{9410012, &ErrInvalidArgument, advice{"the short key is unknown, expired or another account's", "short_key 不存在、已过期或不属于该账号"}},
	{268487001, &ErrBusy, tryLater},
	{268487002, &ErrBusy, tryLater},
}
