"""`make bench`: what the product reaches beside what the machine and others reach, always in one run.

Only ratios within one run say anything: the same machine was seen to be 1.3 to 4 times slower an hour later.
"""
