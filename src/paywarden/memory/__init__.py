"""Notes: what is known of a customer, from whom, and the search that finds it. Never across customers or tenants."""
