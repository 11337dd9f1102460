/* A program that is linked in several ways, for program_test.cc to look at. */
int main(void) { return 0; }
