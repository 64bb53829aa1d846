package qrimage

var (
	FileName    = fileName
	LostBlocks  = lostCodewords
	LogoFits    = logoFits
	EccPerBlock = eccPerBlock[:]
)
