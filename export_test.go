package wechatqr

// KnownCodes are those of codeTable.
func KnownCodes() []ErrorCode {
	var codes []ErrorCode
	for _, row := range codeTable {
		codes = append(codes, row.code)
	}
	return codes
}
