"""The spine: one file per story, one function per phase. The only place that opens transactions or calls providers."""
