// SPDX-License-Identifier: Apache-2.0

// robfig/cron v3: ns of one Next(), for lines "name\tcron\tzone" on standard input; "-" for what it does not know.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

func main() {
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		parts := strings.Split(lines.Text(), "\t")
		schedule, err := parser.Parse("CRON_TZ=" + parts[2] + " " + parts[1])
		if err != nil {
			fmt.Printf("%s\t-\n", parts[0])
			continue
		}
		from := time.Unix(1767225600, 0)
		until := time.Unix(4000000000, 0)
		at, calls, began := from, 0, time.Now()
		for ; calls&1023 != 0 || time.Since(began) < 150*time.Millisecond; calls++ {
			at = schedule.Next(at)
			if at.IsZero() || at.After(until) {
				at = from
			}
		}
		fmt.Printf("%s\t%.1f\n", parts[0], float64(time.Since(began).Nanoseconds())/float64(calls))
	}
}
