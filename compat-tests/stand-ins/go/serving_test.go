package zk

import (
	"strings"
	"time"
)

// allServe stands for FLWSrvr where the suite waits for its servers: that cannot read the date in
// what servers since 3.6 answer to srvr.
func allServe(servers []string) bool {
	for _, server := range servers {
		answer, err := fourLetterWord(server, "srvr", time.Second)
		if err != nil || !strings.Contains(string(answer), "Mode:") {
			return false
		}
	}
	return true
}
