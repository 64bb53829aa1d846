package main

import (
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/sqltx"
)

// wsaAddrInUse is what Windows says where others say EADDRINUSE.
const wsaAddrInUse = syscall.Errno(10048)

const sqliteFull = "13" // SQLITE_FULL

// advice returns what somebody without a developer at hand can do about an error of the
// start, in both languages, or "".
func advice(err error) string {
	var connection *net.OpError
	switch {
	case errors.Is(err, errFlags):
		return "参数写错了。看演示：在命令后面加上 -demo（半角减号，前面空一格）。全部参数：-h。\n" +
			"That is no flag. To see the demo add -demo, a plain hyphen after a space.\n" +
			"All flags: -h."
	case errors.Is(err, errPart):
		return "请把环境变量 WECHAT_* 全部设好，或者都不设：那时由页面询问。\n" +
			"Set all of WECHAT_*, or none of them: then a page asks for the account."
	case errors.Is(err, channels.ErrWrongKey):
		return "请使用与此数据库一起生成的人员密钥文件（channeld.key）；" +
			"没有它，数据库再也认不出任何人。\n" +
			"Use the person key that was made together with this database\n" +
			"(channeld.key): without it the database knows nobody again."
	case errors.Is(err, errKeyFile):
		return "人员密钥不完整或被改过：请换回备份。只有从未填过公众号、" +
			"还没有任何数字时，才可以删除它重新生成。\n" +
			"The person key is not whole, or was changed: put your copy of it back. Only before an\n" +
			"account was ever set up, with no numbers yet, may you delete it: a new one is made."
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, wsaAddrInUse):
		return "此端口已被占用：channeld 可能正在另一个窗口运行，\n在浏览器打开 http://" +
			defaultListen + "/ 试试；或者换一个端口，在命令后面加上 -listen 127.0.0.1:8931\n" +
			"The port is taken. channeld may run in another window: try\nhttp://" +
			defaultListen + "/ in a browser. Or take another port: add\n" +
			"-listen 127.0.0.1:8931"
	case errors.As(err, &connection) && connection.Op == "listen":
		return "不能监听这个地址：请换一个，例如 -listen 127.0.0.1:8931（1024 以下的端口要管理员权限）。\n" +
			"It cannot listen there: take another address, such as -listen 127.0.0.1:8931.\n" +
			"Ports below 1024 are for the system's administrator."
	case errors.Is(err, syscall.ENOSPC), sqltx.ErrorCode(err) == sqliteFull:
		return "磁盘满了：请腾出空间，再启动。\nThe disk is full: make room, then start again."
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "请把程序移到可以写入的文件夹（例如“文档”里新建的文件夹），在那里启动；\n" +
			"或用 -db 指定数据文件的位置。如果以前由别的用户（例如用 sudo）启动过，" +
			"请把文件夹里的 channeld.* 交给现在的用户。\n" +
			"Move the program to a folder that it may write to, such as a new one in\n" +
			"Documents, and start it there; or say by -db where the data file is to be. If another\n" +
			"user has started it before, as sudo does, give the files channeld.* to this user."
	case errors.As(err, &connection) && connection.Op == "dial":
		return "数据库连不上：请检查它是否在运行、-db 的地址是否正确。\n" +
			"The database does not answer: check that it runs, and the address in -db."
	case errors.Is(err, fs.ErrNotExist):
		return "文件或文件夹不存在：请在数据库所在的文件夹里启动，或用 -db 写明它的位置；" +
			"所写的文件夹要先建好。\n" +
			"There is no such file or folder: start it in the folder of the database, or say by -db\n" +
			"where that is. A folder that a flag names is to be made first."
	}
	return ""
}
